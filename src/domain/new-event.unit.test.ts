import { describe, expect, it } from 'vitest';
import { deterministicUuid } from './event-id.js';
import type { DomainEvent } from './events/event-types.js';
import { newEvents, transferEventId } from './new-event.js';

const origin = { ledger: 'main', key: 'k1', metadata: { actor: 'key:1' } };
const opened: DomainEvent = { type: 'AccountOpened', data: { accountId: 'alice', metadata: {} } };
const sent = (transferId: string, amountSats = '1'): DomainEvent => ({
  type: 'TransferSent',
  data: {
    transferId,
    fromAccountId: 'alice',
    toAccountId: 'bob',
    amountSats,
    postings: [
      { book: 'account:alice', amountSats },
      { book: 'account:bob', amountSats: `-${amountSats}` },
    ],
  },
});

describe('newEvents', () => {
  it('gives the same ids to the same command, others to every other one', () => {
    const ids = (key: string, ledger = 'main'): string[] =>
      newEvents([opened, opened], { ...origin, key, ledger }).map(({ id }) => id);
    expect(ids('k1')).toEqual(ids('k1'));
    expect(new Set([...ids('k1'), ...ids('k2'), ...ids('k1', 'other')]).size).toBe(6);
  });

  it('gives a transfer the id of its sender and transfer id, whatever the key', () => {
    const [first] = newEvents([sent('t1')], origin);
    const [second] = newEvents([sent('t1')], { ...origin, key: 'k2' });
    expect(first?.id).toBe(second?.id);
    expect(first?.id).toBe(transferEventId('main', 'alice', 't1'));
    expect(first?.id).not.toBe(transferEventId('main', 'bob', 't1'));
  });

  it('refuses data that is not of the schema of its type', () => {
    expect(() => newEvents([sent('t1', '1.5')], origin)).toThrow(/decimal string/);
    const extra = { type: 'AccountOpened', data: { accountId: 'a', metadata: {}, more: 1 } } as unknown as DomainEvent;
    expect(() => newEvents([extra], origin)).toThrow(/more/);
  });
});

describe('deterministicUuid', () => {
  it('is a UUID of version 8 and the variant of RFC 9562', () => {
    for (let n = 0; n < 200; n++) {
      expect(deterministicUuid('x', n)).toMatch(
        /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
      );
    }
  });

  it('tells apart where one part ends and the next begins', () => {
    expect(deterministicUuid('ab', 'c')).not.toBe(deterministicUuid('a', 'bc'));
    expect(deterministicUuid('1')).not.toBe(deterministicUuid(1));
  });
});
