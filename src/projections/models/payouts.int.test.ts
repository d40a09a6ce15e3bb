import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase } from '../../../test/support/database.js';
import type { TestDatabase } from '../../../test/support/database.js';
import { tellLog } from '../../../test/support/ledger-log.js';
import type { ToldEvent } from '../../../test/support/ledger-log.js';
import { dumpTables, projectToHead } from '../../../test/support/live-read-models.js';
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
import { ALL_PROJECTIONS } from '../all-projections.js';
import { createPayoutWork } from '../read/payout-work.js';
import type { PayoutWork } from '../read/payout-work.js';
import { rebuildProjections } from '../rebuild/rebuild-projections.js';
import { readSchema } from '../tables/identifiers.js';
import { verifyLedger } from '../verify/verify-ledger.js';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(async () => {
  await database.drop();
});

const progress = { waitFor: (position: bigint) => Promise.resolve(position) };

/** A ledger that is told event by event, and the questions that its workflow asks. */
function createTale(ledger: string): { tell: (events: readonly ToldEvent[]) => Promise<void>; work: PayoutWork } {
  return {
    work: createPayoutWork({ database: database.pool, ledger, progress }),
    tell: async (events) => {
      await tellLog(database.ownerPool, ledger, events);
      expect(await projectToHead(database.pool, ledger, () => 3)).toEqual([]);
    },
  };
}

const ALICE = { id: 'wd1', account: 'alice', amount: 40_000, maxFee: 1_000 };
const BOB = { id: 'wd2', account: 'bob', amount: 30_000 };
const DEPTHS = { completeAt: 1, finalAt: 3 };
const COIN = told.coinNamed('c', 100_000);
const SPARE = told.coinNamed('d', 50_000);

/** Two coins of the house in block 1, and two accounts with money. */
const BEGINNING: ToldEvent[] = [
  walletCreated('w'),
  accountOpened('alice'),
  accountOpened('bob'),
  ...chainOpened(),
  blockConnected(1, '1', '0', {
    received: [
      ...(deposit('c', null, 100_000).received ?? []),
      ...(deposit('d', null, 50_000).received ?? []),
      ...(deposit('a', 'alice', 60_000).received ?? []),
      ...(deposit('b', 'bob', 60_000).received ?? []),
    ],
    funding: ['c', 'd', 'a', 'b'].flatMap((name) => deposit(name, null, 1).funding ?? []),
  }),
];

function paymentOf(
  candidate: number,
  name: string,
  inputs: readonly told.OwnCoin[],
  pays = [ALICE, BOB],
): told.Payment {
  const total = inputs.reduce((sum, { amount }) => sum + amount, 0);
  const fee = 500 * (candidate + 1);
  const paid = pays.reduce((sum, { amount }) => sum + amount, 0);
  return {
    payoutId: 'p1',
    candidate,
    txid: hashNamed(`payment ${name}`),
    inputs,
    pays,
    change: total - paid - fee,
    fee,
  };
}

async function expectRebuilt(ledger: string): Promise<void> {
  const { pool } = database;
  const live = await dumpTables(pool, readSchema(ledger));
  await rebuildProjections({ pool, ledger, projections: ALL_PROJECTIONS });
  expect(await dumpTables(pool, readSchema(ledger)), 'rebuilt, row for row').toEqual(live);
  expect((await verifyLedger({ pool, ledger, projections: ALL_PROJECTIONS })).mismatches).toEqual([]);
}

test('what is to be done for a payment, from the request to the last coin given back', async () => {
  const { tell, work } = createTale('life');
  await tell([...BEGINNING, told.fundsReserved(ALICE), told.fundsReserved(BOB)]);
  expect(await work.walletsWithWaiting(10)).toMatchObject([{ walletId: 'w', waiting: 2 }]);
  await tell([told.withdrawalDeferred('wd2', 'too little')]);
  expect(await work.waitingWithdrawals('w', 0n, 10)).toMatchObject([
    { withdrawalId: 'wd1', amountSats: '40000', maxFeeSats: '1000', deferred: null },
    { withdrawalId: 'wd2', maxFeeSats: null, deferred: { reason: 'wallet-too-low', detail: 'too little' } },
  ]);
  expect((await work.spendableCoins('w', 2)).map(({ amountSats }) => amountSats)).toEqual([100_000n, 60_000n]);

  const first = paymentOf(0, 'first', [COIN]);
  await tell([told.payoutStarted('p1', [ALICE, BOB], DEPTHS)]);
  expect(await work.waitingWithdrawals('w', 0n, 10), 'taken, also before they are assigned').toEqual([]);
  await tell([
    told.withdrawalAssigned('wd1', 'p1'),
    told.withdrawalAssigned('wd2', 'p1'),
    told.coinsReserved('p1', [COIN]),
    told.candidatePrepared(first),
    told.candidateSigned(first),
  ]);
  expect((await work.spendableCoins('w', 10)).map(({ outpoint }) => outpoint)).not.toContain(COIN.outpoint);
  expect(await work.coins([COIN.outpoint])).toMatchObject([{ amountSats: 100_000n, height: 1 }]);
  expect(await work.payoutsOfCoins([COIN.outpoint, SPARE.outpoint])).toEqual(['p1']);
  expect(await work.openPayouts(null, 10)).toEqual(['p1']);
  expect(await work.openPayouts('p1', 10)).toEqual([]);
  await tell([told.candidateOffered('p1', first.txid, 'accepted')]);
  expect(await work.unconfirmedPayouts('w', 10)).toEqual(['p1']);
  expect(await work.duePayouts(null, 10)).toEqual([]);

  // Two blocks later it has missed its target; a better one is made and the first confirms all the same.
  await tell([blockConnected(2, '2', '1'), blockConnected(3, '3', '2')]);
  expect(await work.duePayouts(null, 10), 'past its target').toEqual(['p1']);
  const second = paymentOf(1, 'second', [COIN, SPARE]);
  await tell([
    told.coinsReserved('p1', [SPARE]),
    told.candidatePrepared(second),
    told.candidateSigned(second),
    told.candidateOffered('p1', second.txid, 'accepted'),
  ]);
  expect(await work.duePayouts(null, 10), 'the newest one has time again').toEqual([]);
  await tell([blockConnected(4, 'empty', '3')]);
  expect(await work.duePayouts(null, 10), 'and less of it than the first').toEqual(['p1']);
  await tell([blockDisconnected(4, 'empty', '3', 5), blockConnected(4, '4', '3', told.minedPayment(first))]);
  expect(await work.unconfirmedPayouts('w', 10)).toEqual([]);
  expect(await work.duePayouts(null, 10), 'to be settled').toEqual(['p1']);
  expect(await work.chainFacts('p1')).toEqual({
    tip: { height: 4, hash: hashNamed('block 4') },
    confirmed: [{ txid: first.txid, height: 4, blockHash: hashNamed('block 4') }],
    foreign: [],
    takenAt: new Map([
      [first.txid, 1],
      [second.txid, 3],
    ]),
  });

  await tell([told.payoutSettled('p1', first.txid, 500, [ALICE, BOB])]);
  expect(await work.duePayouts(null, 10)).toEqual([]);
  expect(await work.payoutsToFinish(10), 'accounts to be settled').toEqual(['p1']);
  await tell([told.withdrawalSettled(ALICE, 'p1', first.txid, 0), told.withdrawalSettled(BOB, 'p1', first.txid, 0)]);
  expect(await work.payoutsToFinish(10)).toEqual([]);
  await tell([blockConnected(5, '5', '4')]);
  expect(await work.duePayouts(null, 10)).toEqual([]);
  await tell([blockConnected(6, '6', '5')]);
  expect(await work.duePayouts(null, 10), 'to be closed').toEqual(['p1']);
  await tell([told.payoutClosed('p1', first.txid)]);
  expect(await work.duePayouts(null, 10)).toEqual([]);
  expect(await work.openPayouts(null, 10)).toEqual([]);
  expect(await work.payoutsToFinish(10), 'coins to be given back').toEqual(['p1']);
  await tell([told.coinsReleased('p1', [COIN.outpoint, SPARE.outpoint], 'spent')]);
  expect(await work.payoutsToFinish(10)).toEqual([]);
  expect((await work.spendableCoins('w', 10)).map(({ outpoint }) => outpoint)).toContain(SPARE.outpoint);
  await expectRebuilt('life');
});

test('a payment that loses its block is unconfirmed again, and settled once', async () => {
  const { tell, work } = createTale('reorg');
  const payment = paymentOf(0, 'only', [COIN]);
  await tell([
    ...BEGINNING,
    told.fundsReserved(ALICE),
    told.fundsReserved(BOB),
    told.payoutStarted('p1', [ALICE, BOB], DEPTHS),
    told.coinsReserved('p1', [COIN]),
    told.candidatePrepared(payment),
    told.candidateSigned(payment),
    told.candidateOffered('p1', payment.txid, 'accepted'),
    blockConnected(2, '2', '1', told.minedPayment(payment)),
    told.payoutSettled('p1', payment.txid, 500, [ALICE, BOB]),
    blockDisconnected(2, '2', '1', 3),
  ]);
  expect(await work.unconfirmedPayouts('w', 10)).toEqual(['p1']);
  expect(await work.chainFacts('p1')).toMatchObject({ confirmed: [], foreign: [], tip: { height: 1 } });
  await tell([blockConnected(2, '2b', '1'), blockConnected(3, '3b', '2b', told.minedPayment(payment))]);
  expect(await work.unconfirmedPayouts('w', 10)).toEqual([]);
  expect(await work.duePayouts(null, 10), 'settled already').toEqual([]);
  await expectRebuilt('reorg');
});

test('a coin spent by somebody else, taken back, spent again, and the payout paid with other coins', async () => {
  const { tell, work } = createTale('foreign');
  const payment = paymentOf(0, 'ours', [COIN]);
  const theft: told.Payment = { ...payment, txid: hashNamed('theft'), pays: [], change: 0 };
  await tell([
    ...BEGINNING,
    told.fundsReserved(ALICE),
    told.fundsReserved(BOB),
    told.payoutStarted('p1', [ALICE, BOB], DEPTHS),
    told.withdrawalAssigned('wd1', 'p1'),
    told.withdrawalAssigned('wd2', 'p1'),
    told.coinsReserved('p1', [COIN]),
    told.candidatePrepared(payment),
    told.candidateSigned(payment),
    told.candidateOffered('p1', payment.txid, 'accepted'),
    blockConnected(2, '2', '1', told.minedPayment(theft, false)),
  ]);
  expect(await work.duePayouts(null, 10), 'to be halted').toEqual(['p1']);
  const spend = { outpoint: COIN.outpoint, byTxid: theft.txid, height: 2, blockHash: hashNamed('block 2') };
  expect((await work.chainFacts('p1'))?.foreign).toEqual([spend]);
  await tell([told.payoutHalted('p1', COIN.outpoint, theft.txid, spend.blockHash, 2)]);
  expect(await work.duePayouts(null, 10)).toEqual([]);
  expect(await work.unconfirmedPayouts('w', 10), 'nothing more is sent').toEqual([]);
  await tell([blockDisconnected(2, '2', '1', 3)]);
  expect(await work.duePayouts(null, 10), 'to be resumed').toEqual(['p1']);
  await tell([told.payoutResumed('p1', theft.txid)]);
  expect(await work.duePayouts(null, 10)).toEqual([]);
  expect(await work.unconfirmedPayouts('w', 10)).toEqual(['p1']);

  await tell([
    blockConnected(2, '2b', '1', told.minedPayment(theft, false)),
    told.payoutHalted('p1', COIN.outpoint, theft.txid, hashNamed('block 2b'), 2),
    told.payoutResolved('p1', 'pay-again', theft.txid, COIN.outpoint),
    told.coinsReleased('p1', [COIN.outpoint], 'conflict'),
  ]);
  expect(await work.duePayouts(null, 10), 'decided, not to be halted again').toEqual([]);
  expect(await work.openPayouts(null, 10)).toEqual(['p1']);
  const again = { ...paymentOf(1, 'again', [told.coinNamed('a', 60_000), told.coinNamed('b', 60_000)]) };
  await tell([
    told.coinsReserved('p1', again.inputs),
    told.candidatePrepared(again),
    told.candidateSigned(again),
    blockConnected(3, '3b', '2b', told.minedPayment(again)),
  ]);
  expect(await work.duePayouts(null, 10)).toEqual(['p1']);
  expect((await work.chainFacts('p1'))?.confirmed).toMatchObject([{ txid: again.txid, height: 3 }]);
  await expectRebuilt('foreign');
});

test('a withdrawal that two payouts named is the first one’s to be assigned, and nobody cancels it', async () => {
  const { tell, work } = createTale('twice');
  await tell([
    ...BEGINNING,
    told.fundsReserved(ALICE),
    told.payoutStarted('p1', [ALICE], DEPTHS),
    told.payoutStarted('p2', [ALICE], DEPTHS),
    told.withdrawalAssigned('wd1', 'p1'),
    told.withdrawalRemoved('p2', 'wd1'),
    told.payoutCancelled('p2'),
  ]);
  expect(await work.withdrawalsToFinish(10)).toEqual([]);
  const { rows } = await database.pool.query(
    `SELECT payout_id, state, is_removed, is_open, due FROM read_twice.withdrawal WHERE to_position = 9223372036854775807`,
  );
  expect(rows).toEqual([{ payout_id: 'p1', state: 'assigned', is_removed: false, is_open: true, due: null }]);
  await expectRebuilt('twice');
});

test('a withdrawal that is taken out, and a payout that ends without any', async () => {
  const { tell, work } = createTale('removed');
  const payment = paymentOf(0, 'void', [COIN]);
  await tell([
    ...BEGINNING,
    told.fundsReserved(ALICE),
    told.fundsReserved(BOB),
    told.payoutStarted('p1', [ALICE, BOB], DEPTHS),
    told.withdrawalAssigned('wd1', 'p1'),
    told.withdrawalAssigned('wd2', 'p1'),
    told.coinsReserved('p1', [COIN]),
    told.candidatePrepared(payment),
    told.withdrawalRemoved('p1', 'wd1'),
  ]);
  expect(await work.withdrawalsToFinish(10)).toEqual([
    { withdrawalId: 'wd1', accountId: 'alice', payoutId: 'p1', isCancelled: false, reason: 'asked' },
  ]);
  expect(await work.waitingWithdrawals('w', 0n, 10), 'no other payout ever pays it').toEqual([]);
  await tell([told.withdrawalCancelled(ALICE)]);
  expect(await work.withdrawalsToFinish(10)).toMatchObject([{ withdrawalId: 'wd1', isCancelled: true }]);
  await tell([told.fundsReleased(ALICE, 'cancelled')]);
  expect(await work.withdrawalsToFinish(10)).toEqual([]);
  // Signed by somebody all the same, and mined: not ours any more.
  await tell([blockConnected(2, '2', '1', told.minedPayment(payment, false))]);
  expect((await work.chainFacts('p1'))?.foreign).toMatchObject([{ byTxid: payment.txid }]);
  expect(await work.duePayouts(null, 10)).toEqual(['p1']);
  await tell([
    blockDisconnected(2, '2', '1', 3),
    told.withdrawalRemoved('p1', 'wd2'),
    told.payoutCancelled('p1'),
    told.withdrawalCancelled(BOB),
  ]);
  expect(await work.payoutsToFinish(10)).toEqual(['p1']);
  await tell([told.coinsReleased('p1', [COIN.outpoint], 'unsigned'), told.fundsReleased(BOB, 'cancelled')]);
  expect(await work.payoutsToFinish(10)).toEqual([]);
  expect(await work.openPayouts(null, 10)).toEqual([]);
  await expectRebuilt('removed');
});
