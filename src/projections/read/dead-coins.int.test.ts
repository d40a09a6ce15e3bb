import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase } from '../../../test/support/database.js';
import type { TestDatabase } from '../../../test/support/database.js';
import { tellLog } from '../../../test/support/ledger-log.js';
import type { ToldEvent } from '../../../test/support/ledger-log.js';
import { projectToHead } from '../../../test/support/live-read-models.js';
import * as told from '../../../test/support/payout-events.js';
import {
  accountOpened,
  blockConnected,
  blockDisconnected,
  chainOpened,
  deposit,
  hashNamed,
  walletCreated,
} from '../../../test/support/small-histories.js';
import { readChainFacts } from './payout-chain-facts.js';
import { readSpendInBlock } from './spend-in-block.js';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(async () => {
  await database.drop();
});

const ALICE = { id: 'wd1', account: 'alice', amount: 40_000 };
const BOB = { id: 'wd2', account: 'bob', amount: 30_000 };
const DEPTHS = { completeAt: 1, finalAt: 3 };
const COIN = told.coinNamed('c', 100_000);

const BEGINNING: ToldEvent[] = [
  walletCreated('w'),
  accountOpened('alice'),
  accountOpened('bob'),
  ...chainOpened(),
  blockConnected(1, '1', '0', deposit('a', 'alice', 60_000)),
  blockConnected(2, '2', '1', deposit('c', null, 100_000)),
  told.fundsReserved(ALICE),
];

const PAYMENT: told.Payment = {
  payoutId: 'p1',
  candidate: 0,
  txid: hashNamed('payment of alice'),
  inputs: [COIN],
  pays: [ALICE],
  change: 59_000,
  fee: 1_000,
};

function signed(payment: told.Payment): ToldEvent[] {
  return [
    told.payoutStarted(payment.payoutId, payment.pays, DEPTHS),
    ...payment.pays.map(({ id }) => told.withdrawalAssigned(id, payment.payoutId)),
    told.coinsReserved(payment.payoutId, payment.inputs),
    told.candidatePrepared(payment),
    told.candidateSigned(payment),
  ];
}

async function tell(ledger: string, events: readonly ToldEvent[]): Promise<void> {
  await tellLog(database.ownerPool, ledger, events);
  expect(await projectToHead(database.pool, ledger, () => 3)).toEqual([]);
}

test('a payment of a deposit that a reorg took off and that was paid to somebody else then can never confirm', async () => {
  const { pool } = database;
  const made = COIN.outpoint.slice(0, 64);
  const conflict = { txid: made, byTxid: hashNamed('double spend'), outpoint: `${hashNamed('input of c')}:0` };
  await tell('deposit', [...BEGINNING, ...signed(PAYMENT), blockDisconnected(2, '2', '1', 3)]);
  expect((await readChainFacts(pool, 'deposit', 'p1'))?.foreign, 'the deposit may come again').toEqual([]);
  await tell('deposit', [blockConnected(2, '2b', '1', { conflicts: [conflict] }), blockConnected(3, '3b', '2b')]);
  const blockHash = hashNamed('block 2b');
  expect((await readChainFacts(pool, 'deposit', 'p1'))?.foreign).toEqual([
    { outpoint: COIN.outpoint, byTxid: conflict.byTxid, height: 2, blockHash },
  ]);
  expect(await readSpendInBlock(pool, 'deposit', conflict.byTxid, [COIN.outpoint])).toEqual({
    blockHash,
    height: 2,
    tipHeight: 3,
    dead: [COIN.outpoint],
    isOfAnother: false,
  });
  expect(await readSpendInBlock(pool, 'deposit', hashNamed('another'), [COIN.outpoint])).toBeUndefined();
  await tell('deposit', [
    blockDisconnected(3, '3b', '2b', 6),
    blockDisconnected(2, '2b', '1', 5),
    blockConnected(2, '2', '1', deposit('c', null, 100_000)),
  ]);
  expect((await readChainFacts(pool, 'deposit', 'p1'))?.foreign).toEqual([]);
});

test('a payment of the change of another one dies with it, at any depth; own change does not count', async () => {
  const { pool } = database;
  const change = { outpoint: `${PAYMENT.txid}:1`, amount: 59_000 };
  const builder: told.Payment = {
    payoutId: 'p2',
    candidate: 0,
    txid: hashNamed('payment of bob'),
    inputs: [change],
    pays: [BOB],
    change: 28_000,
    fee: 1_000,
  };
  const carol = { id: 'wd3', account: 'alice', amount: 10_000 };
  const topmost: told.Payment = {
    ...builder,
    payoutId: 'p3',
    txid: hashNamed('payment of carol'),
    inputs: [{ outpoint: `${builder.txid}:1`, amount: 28_000 }],
    pays: [carol],
    change: 17_000,
  };
  const theft: told.Payment = { ...PAYMENT, txid: hashNamed('theft'), pays: [], change: 0 };
  await tell('chained', [
    ...BEGINNING,
    told.fundsReserved(BOB),
    told.fundsReserved(carol),
    ...signed(PAYMENT),
    ...signed(builder),
    ...signed(topmost),
    // It holds its own change, to be able to replace what makes it.
    told.coinsReserved('p3', [{ outpoint: `${topmost.txid}:1`, amount: 17_000 }]),
  ]);
  for (const payoutId of ['p1', 'p2', 'p3']) {
    expect((await readChainFacts(pool, 'chained', payoutId))?.foreign).toEqual([]);
  }
  await tell('chained', [blockConnected(3, '3', '2', told.minedPayment(theft, false))]);
  const by = { byTxid: theft.txid, height: 3, blockHash: hashNamed('block 3') };
  expect((await readChainFacts(pool, 'chained', 'p1'))?.foreign).toEqual([{ ...by, outpoint: COIN.outpoint }]);
  expect((await readChainFacts(pool, 'chained', 'p2'))?.foreign).toEqual([{ ...by, outpoint: change.outpoint }]);
  const [above] = topmost.inputs;
  expect((await readChainFacts(pool, 'chained', 'p3'))?.foreign).toEqual([{ ...by, outpoint: above?.outpoint }]);
  expect(await readSpendInBlock(pool, 'chained', theft.txid, [change.outpoint])).toMatchObject({
    height: 3,
    dead: [change.outpoint],
  });
  expect(await readSpendInBlock(pool, 'chained', theft.txid, [COIN.outpoint])).toMatchObject({ height: 3, dead: [] });
});

test('what another payout pays is told apart: the same amount at the same address is owed twice', async () => {
  const { pool } = database;
  const better: told.Payment = { ...PAYMENT, candidate: 1, txid: hashNamed('better'), change: 58_000, fee: 2_000 };
  const change = { outpoint: `${better.txid}:1`, amount: 58_000 };
  const twin = { ...ALICE, id: 'wd2' };
  const builder: told.Payment = {
    ...PAYMENT,
    payoutId: 'p2',
    txid: hashNamed('payment of the twin'),
    inputs: [change],
    pays: [twin],
    change: 17_000,
  };
  await tell('twins', [
    ...BEGINNING,
    told.fundsReserved(twin),
    ...signed(PAYMENT),
    told.candidatePrepared(better),
    told.candidateSigned(better),
    blockConnected(3, '3', '2', told.minedPayment(better)),
    ...signed(builder),
    blockDisconnected(3, '3', '2', 4),
    blockConnected(3, '3b', '2', told.minedPayment(PAYMENT)),
  ]);
  const dead = { outpoint: change.outpoint, byTxid: PAYMENT.txid, height: 3, blockHash: hashNamed('block 3b') };
  expect((await readChainFacts(pool, 'twins', 'p1'))?.foreign).toEqual([]);
  expect((await readChainFacts(pool, 'twins', 'p2'))?.foreign).toEqual([dead]);
  expect(await readSpendInBlock(pool, 'twins', PAYMENT.txid, [change.outpoint])).toMatchObject({ isOfAnother: true });
  expect(await readSpendInBlock(pool, 'twins', PAYMENT.txid, [COIN.outpoint])).toMatchObject({ isOfAnother: false });
});
