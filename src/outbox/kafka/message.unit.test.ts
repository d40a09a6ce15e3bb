import type { KafkaMessage } from 'kafkajs';
import { describe, expect, it } from 'vitest';
import { eventUpcaster, UnknownEventVersionError } from '../../domain/events/upcast.js';
import { BadMessageError, readMessage, toEvent } from './message.js';

const TRACE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

type Header = string | null | undefined | Buffer[];

function message(
  headers: Record<string, Header> = {},
  rest: { key?: string; value?: string | null } = {},
): KafkaMessage {
  const all: Record<string, Header> = {
    id: '5c6e593e-1392-4966-a91e-dd1733f2d46b',
    ledger: 'main',
    position: '41',
    stream: 'account-a',
    revision: '0',
    type: 'AccountOpened',
    schemaVersion: '1',
    metadata: `{"traceparent": "${TRACE}"}`,
    recordedAt: '2026-11-21T15:18:43.698Z',
    traceparent: TRACE,
    ...headers,
  };
  const made = Object.fromEntries(
    Object.entries(all).map(([name, value]) => [name, typeof value === 'string' ? Buffer.from(value) : value]),
  );
  const { key = 'main', value = '{"accountId": "a"}' } = rest;
  return {
    key: Buffer.from(key),
    value: value === null ? null : Buffer.from(value),
    headers: made as KafkaMessage['headers'],
    offset: '7',
    timestamp: '0',
    attributes: 0,
    size: 0,
  } as KafkaMessage;
}

const event = (given: KafkaMessage) => toEvent(readMessage(given), eventUpcaster);

describe('a message of the outbox', () => {
  it('is the event that the outbox would answer', () => {
    expect(event(message())).toEqual({
      position: 41n,
      id: '5c6e593e-1392-4966-a91e-dd1733f2d46b',
      stream: 'account-a',
      revision: 0n,
      type: 'AccountOpened',
      schemaVersion: 1,
      data: { accountId: 'a' },
      metadata: { traceparent: TRACE },
      recordedAt: new Date('2026-11-21T15:18:43.698Z'),
    });
  });

  it('has no trace where the column is null: a header without a value, or none', () => {
    for (const traceparent of [null, undefined]) {
      expect(event(message({ traceparent, metadata: '{}' })).metadata).toEqual({});
    }
  });

  it('knows times with and without fractions', () => {
    expect(event(message({ recordedAt: '2026-11-21T15:18:43Z' })).recordedAt.getMilliseconds()).toBe(0);
    expect(event(message({ recordedAt: '2026-11-21T15:18:43.500000Z' })).recordedAt.getMilliseconds()).toBe(500);
  });

  it('brings data of an older schema version up to date', () => {
    const value = '{"hash": "x", "found": {"received": [{"vout": 0}], "spent": []}}';
    const older = message({ type: 'TransfersFound', schemaVersion: '1' }, { value });
    expect(event(older)).toMatchObject({
      schemaVersion: 2,
      data: { hash: 'x', found: { received: [{ vout: 0, payoutId: null }], spent: [] } },
    });
  });

  it('costs what its value and its metadata weigh', () => {
    expect(readMessage(message({ metadata: '{}' }, { value: '{"a":1}' })).bytes).toBe(9);
  });

  it.each<[string, Record<string, Header>, { key?: string; value?: string | null }]>([
    ['has no ledger', { ledger: undefined }, {}],
    ['has a ledger that is no name of one', { ledger: 'Main' }, { key: 'Main' }],
    ['has another key', {}, { key: 'other' }],
    ['has no value', {}, { value: null }],
    ['has no position', { position: null }, {}],
    ['has position 0', { position: '0' }, {}],
    ['has a position with a sign', { position: '+5' }, {}],
    ['has a position beyond a bigint of the database', { position: '99999999999999999999' }, {}],
    ['has a position twice', { position: [Buffer.from('1'), Buffer.from('2')] }, {}],
    ['has no id', { id: undefined }, {}],
    ['has an id that is none', { id: 'abc' }, {}],
    ['has no stream', { stream: '' }, {}],
    ['has a revision below zero', { revision: '-1' }, {}],
    ['has no type', { type: undefined }, {}],
    ['has schema version 0', { schemaVersion: '0' }, {}],
    ['has metadata that is not JSON', { metadata: '{' }, {}],
    ['has metadata that is not an object', { metadata: '[]' }, {}],
    ['has a value that is not JSON', {}, { value: '{"a":' }],
    ['has a time that is none', { recordedAt: 'infinity' }, {}],
    ['has a trace that its metadata has not', { metadata: '{}' }, {}],
    ['has no trace where its metadata has one', { traceparent: null }, {}],
  ])('is refused where it %s', (_, headers, rest) => {
    expect(() => event(message(headers, rest))).toThrow(BadMessageError);
  });

  it('of a newer program is not read as if it were known', () => {
    expect(() => event(message({ schemaVersion: '2' }))).toThrow(UnknownEventVersionError);
    expect(() => event(message({ type: 'NeverHeardOf' }))).toThrow(UnknownEventVersionError);
  });
});
