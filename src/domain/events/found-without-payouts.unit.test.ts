import { expect, test } from 'vitest';
import { blockConnected, deposit } from '../../../test/support/small-histories.js';
import { EVENT_TYPES } from './event-types.js';
import { eventUpcaster } from './upcast.js';

/** As it was written before transfers said whose payment they belong to. */
function older(data: unknown): unknown {
  return JSON.parse(JSON.stringify(data, (key, value: unknown) => (key === 'payoutId' ? undefined : value)));
}

test('blocks of schema version 1 are read as blocks without payments of ours, and fit the schema', () => {
  const coin = deposit('d', 'alice', 700);
  const [received] = coin.received ?? [];
  const spent = { txid: received?.txid ?? '', vin: 0, prevTxid: received?.txid ?? '', prevVout: 0, payoutId: null };
  const now = blockConnected(1, '1', '0', {
    ...coin,
    spent: [{ ...spent, amountSats: '700', script: '0014aa', address: null, walletId: 'w', accountId: null }],
  }).data;
  const before = older(now);
  expect(EVENT_TYPES.BlockConnected.schema.safeParse(before).success).toBe(false);
  const frozen = JSON.stringify(before);
  expect(eventUpcaster.upcast('BlockConnected', 1, before)).toEqual(now);
  expect(JSON.stringify(before), 'the argument is left alone').toBe(frozen);
  const part = { network: 'regtest', blockHash: received?.txid, part: 0, found: (before as { found: unknown }).found };
  const upcast = eventUpcaster.upcast('TransfersFound', 1, part);
  expect(EVENT_TYPES.TransfersFound.schema.safeParse(upcast).success).toBe(true);
});
