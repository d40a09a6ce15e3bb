import { expect, test } from 'vitest';
import type { Found } from './events/chain-events.js';
import type { DomainEvent } from './events/event-types.js';
import { postingsOf } from './postings-of.js';

const hash = 'ab'.repeat(32);
const coin = { txid: hash, amountSats: '70', script: '', address: null, walletId: 'w' };
const found: Found = {
  received: [
    { ...coin, vout: 0, accountId: 'alice', coinbase: false, derivation: null, payoutId: null },
    { ...coin, vout: 1, accountId: null, coinbase: false, derivation: null, payoutId: null },
  ],
  spent: [{ ...coin, vin: 0, prevTxid: hash, prevVout: 0, accountId: 'alice', payoutId: null }],
  funding: [],
  conflicts: [],
};
const connected: DomainEvent = {
  type: 'BlockConnected',
  data: {
    network: 'regtest',
    hash,
    height: 1,
    prevHash: hash,
    time: 0,
    bits: 0,
    size: 0,
    transactionCount: 1,
    parts: 0,
    found,
  },
};

test('a block: the wallet gains what the account, or the house, is credited; what others spend goes to suspense', () => {
  expect(postingsOf(connected, found)).toEqual([
    { book: 'wallet:w', amountSats: 70n },
    { book: 'account:alice', amountSats: -70n },
    { book: 'wallet:w', amountSats: 70n },
    { book: 'house', amountSats: -70n },
    { book: 'wallet:w', amountSats: -70n },
    { book: 'suspense', amountSats: 70n },
  ]);
});

test('undoing a block is the same with the signs turned', () => {
  const undone: DomainEvent = {
    type: 'BlockDisconnected',
    data: { network: 'regtest', hash, height: 1, prevHash: hash, connectedRevision: 1 },
  };
  const both = [...postingsOf(connected, found), ...postingsOf(undone, found)];
  const sums = new Map<string, bigint>();
  for (const { book, amountSats } of both) sums.set(book, (sums.get(book) ?? 0n) + amountSats);
  expect([...sums.values()]).toEqual([0n, 0n, 0n, 0n]);
});

test('a transfer has the postings that it says', () => {
  const postings = [
    { book: 'account:a', amountSats: '5' },
    { book: 'account:b', amountSats: '-5' },
  ];
  const data = { transferId: 't', fromAccountId: 'a', toAccountId: 'b', amountSats: '5', postings };
  expect(postingsOf({ type: 'TransferSent', data }, undefined)).toEqual([
    { book: 'account:a', amountSats: 5n },
    { book: 'account:b', amountSats: -5n },
  ]);
});

test('what moves no money has no postings', () => {
  expect(postingsOf({ type: 'AccountOpened', data: { accountId: 'a', metadata: {} } }, undefined)).toEqual([]);
});

test('a payment of ours goes through transit, its change comes back from there, and what it pays us is a deposit', () => {
  const ours: Found = {
    ...found,
    received: [
      { ...coin, vout: 0, accountId: 'bob', amountSats: '30', coinbase: false, derivation: null, payoutId: null },
      { ...coin, vout: 1, accountId: null, amountSats: '35', coinbase: false, derivation: null, payoutId: 'p1' },
    ],
    spent: [{ ...coin, vin: 0, prevTxid: hash, prevVout: 0, accountId: null, payoutId: 'p1' }],
  };
  expect(postingsOf(connected, ours)).toEqual([
    { book: 'wallet:w', amountSats: 30n },
    { book: 'account:bob', amountSats: -30n },
    { book: 'wallet:w', amountSats: 35n },
    { book: 'transit', amountSats: -35n },
    { book: 'wallet:w', amountSats: -70n },
    { book: 'transit', amountSats: 70n },
  ]);
});
