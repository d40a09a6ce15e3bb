import { describe, expect, it } from 'vitest';
import type { DomainEvent } from '../events/event-types.js';
import { MAX_MONEY_SATS } from '../primitives.js';
import { evolveAccount, initialAccountState, type AccountState } from './account-state.js';
import { openAccount } from './open-account.js';
import { sendTransfer, type SendTransfer, type TransferFacts } from './send-transfer.js';

const opened: DomainEvent = { type: 'AccountOpened', data: { accountId: 'alice', metadata: {} } };
const given = (...events: DomainEvent[]): AccountState => events.reduce(evolveAccount, initialAccountState);
const transfer = (change: Partial<SendTransfer> = {}): SendTransfer => ({
  transferId: 't1',
  fromAccountId: 'alice',
  toAccountId: 'bob',
  amountSats: 60n,
  ...change,
});
const facts = (change: Partial<TransferFacts> = {}): TransferFacts => ({
  recipientExists: true,
  creditsSats: 100n,
  transferExists: false,
  ...change,
});
function sent(command: SendTransfer): DomainEvent {
  const result = sendTransfer(command, given(opened), facts({ creditsSats: MAX_MONEY_SATS }));
  if (!Array.isArray(result) || result[0] === undefined) throw new Error('the transfer was refused');
  return result[0];
}

describe('openAccount', () => {
  it('opens an account that is not there', () => {
    expect(openAccount({ accountId: 'alice', metadata: { a: 1 } }, given())).toEqual([
      { type: 'AccountOpened', data: { accountId: 'alice', metadata: { a: 1 } } },
    ]);
  });

  it('refuses one that is', () => {
    expect(openAccount({ accountId: 'alice', metadata: {} }, given(opened))).toMatchObject({
      rejected: 'account-exists',
    });
  });
});

describe('sendTransfer', () => {
  it('moves money with postings that sum to zero', () => {
    expect(sendTransfer(transfer(), given(opened), facts())).toEqual([
      {
        type: 'TransferSent',
        data: {
          transferId: 't1',
          fromAccountId: 'alice',
          toAccountId: 'bob',
          amountSats: '60',
          postings: [
            { book: 'account:alice', amountSats: '60' },
            { book: 'account:bob', amountSats: '-60' },
          ],
        },
      },
    ]);
  });

  it('lets everything go that is there, and not one satoshi more', () => {
    expect(sendTransfer(transfer({ amountSats: 100n }), given(opened), facts())).toHaveLength(1);
    expect(sendTransfer(transfer({ amountSats: 101n }), given(opened), facts())).toMatchObject({
      rejected: 'insufficient-funds',
    });
  });

  it('counts what was sent before', () => {
    const state = given(opened, sent(transfer({ transferId: 't0', amountSats: 60n })));
    expect(sendTransfer(transfer({ amountSats: 41n }), state, facts())).toEqual({
      rejected: 'insufficient-funds',
      detail: "Account 'alice' has 40 satoshis available.",
    });
    expect(sendTransfer(transfer({ amountSats: 40n }), state, facts())).toHaveLength(1);
  });

  it('refuses everything to an account that a reorg left below zero', () => {
    const state = given(opened, sent(transfer({ transferId: 't0', amountSats: 60n })));
    expect(sendTransfer(transfer({ amountSats: 1n }), state, facts({ creditsSats: 10n }))).toEqual({
      rejected: 'insufficient-funds',
      detail: "Account 'alice' has 0 satoshis available.",
    });
  });

  it.each([0n, -1n, MAX_MONEY_SATS + 1n])('refuses the amount %s', (amountSats) => {
    expect(
      sendTransfer(transfer({ amountSats }), given(opened), facts({ creditsSats: 3n * MAX_MONEY_SATS })),
    ).toMatchObject({ rejected: 'amount-invalid' });
  });

  it('takes all the money there can ever be', () => {
    const all = facts({ creditsSats: MAX_MONEY_SATS });
    expect(sendTransfer(transfer({ amountSats: MAX_MONEY_SATS }), given(opened), all)).toHaveLength(1);
  });

  it('refuses a transfer to oneself', () => {
    expect(sendTransfer(transfer({ toAccountId: 'alice' }), given(opened), facts())).toMatchObject({
      rejected: 'transfer-to-self',
    });
  });

  it('refuses where sender or recipient is missing', () => {
    expect(sendTransfer(transfer(), given(), facts())).toMatchObject({ rejected: 'account-not-found' });
    expect(sendTransfer(transfer(), given(opened), facts({ recipientExists: false }))).toEqual({
      rejected: 'account-not-found',
      detail: "There is no account 'bob'.",
    });
  });

  it('refuses a transfer id that was used, lately or long ago', () => {
    const state = given(opened, sent(transfer({ amountSats: 1n })));
    expect(sendTransfer(transfer({ amountSats: 1n }), state, facts())).toMatchObject({ rejected: 'transfer-exists' });
    expect(sendTransfer(transfer(), given(opened), facts({ transferExists: true }))).toMatchObject({
      rejected: 'transfer-exists',
    });
  });
});

describe('the memory of transfer ids', () => {
  it('is bounded, and says from which event on it is complete', () => {
    let state = given(opened);
    const all: string[] = [];
    for (let n = 1; n <= 2_000; n++) {
      all.push(`t${n}`);
      state = evolveAccount(state, sent(transfer({ transferId: `t${n}`, amountSats: 1n })));
      if (n % 97 !== 0) continue;
      const { since } = state.recentTransfers;
      // Event n of the stream (the opening is event 0) brought t<n>: all from `since` on must be known.
      const remembered = all.filter(
        (id) =>
          'rejected' in
          sendTransfer(transfer({ transferId: id, amountSats: 1n }), state, facts({ creditsSats: 9_999n })),
      );
      expect(remembered.length).toBeLessThanOrEqual(512);
      expect(remembered).toEqual(all.slice(all.length - remembered.length));
      expect(n - remembered.length).toBeLessThan(Math.max(since, 1));
    }
    expect(state.recentTransfers.since).toBeGreaterThan(1_000);
    expect(state.sentSats).toBe(2_000n);
  });
});
