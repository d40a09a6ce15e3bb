import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase } from '../../../test/support/database.js';
import type { TestDatabase } from '../../../test/support/database.js';
import { tellLog } from '../../../test/support/ledger-log.js';
import type { ToldEvent } from '../../../test/support/ledger-log.js';
import * as told from '../../../test/support/payout-events.js';
import {
  accountOpened,
  blockConnected,
  chainOpened,
  deposit,
  hashNamed,
  walletCreated,
} from '../../../test/support/small-histories.js';
import { rebuildProjections } from '../rebuild/rebuild-projections.js';
import { ALL_PROJECTIONS } from '../all-projections.js';
import { verifyLedger } from './verify-ledger.js';

let database: TestDatabase;
let ledgers = 0;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(async () => {
  await database.drop();
});

const ALICE = { id: 'wd1', account: 'alice', amount: 400 };
const BOB = { id: 'wd2', account: 'bob', amount: 300 };
const DEPTHS = { completeAt: 1, finalAt: 1 };
const [COIN, SPARE] = [told.coinNamed('c', 1_000), told.coinNamed('d', 1_000)];

function paymentOf(candidate: number, inputs: readonly told.OwnCoin[]): told.Payment {
  const change = inputs.length * 1_000 - 700 - 10;
  return {
    payoutId: 'p1',
    candidate,
    txid: hashNamed(`payment ${candidate}`),
    inputs,
    pays: [ALICE, BOB],
    change,
    fee: 10,
  };
}

const FIRST = paymentOf(0, [COIN]);

const BEGINNING: ToldEvent[] = [
  walletCreated('w'),
  accountOpened('alice'),
  accountOpened('bob'),
  ...chainOpened(),
  blockConnected(1, '1', '0', {
    received: ['c', 'd'].flatMap((name) => deposit(name, null, 1_000).received ?? []),
    funding: ['c', 'd'].flatMap((name) => deposit(name, null, 1_000).funding ?? []),
  }),
  told.fundsReserved(ALICE),
  told.fundsReserved(BOB),
  told.payoutStarted('p1', [ALICE, BOB], DEPTHS),
  told.withdrawalAssigned('wd1', 'p1'),
  told.coinsReserved('p1', [COIN]),
  told.candidatePrepared(FIRST),
  told.candidateSigned(FIRST),
];

/** What verify says of a log that somebody wrote past all decisions. */
async function mismatchesOf(events: readonly ToldEvent[]): Promise<object[]> {
  ledgers += 1;
  const ledger = `promises-${ledgers}`;
  const { pool, ownerPool } = database;
  await tellLog(ownerPool, ledger, [...BEGINNING, ...events]);
  await rebuildProjections({ pool, ledger, projections: ALL_PROJECTIONS }).catch(() => undefined);
  return (await verifyLedger({ pool, ledger, projections: ALL_PROJECTIONS })).mismatches;
}

test('a payment as it should be has no mismatch', async () => {
  const found = await mismatchesOf([
    blockConnected(2, '2', '1', told.minedPayment(FIRST)),
    told.payoutSettled('p1', FIRST.txid, 10, [ALICE, BOB]),
    told.withdrawalSettled(ALICE, 'p1', FIRST.txid, 0),
    told.withdrawalSettled(BOB, 'p1', FIRST.txid, 0),
    told.payoutClosed('p1', FIRST.txid),
    told.coinsReleased('p1', [COIN.outpoint], 'spent'),
  ]);
  expect(found).toEqual([]);
});

test('two signed payments that could both confirm are named', async () => {
  const other = paymentOf(1, [SPARE]);
  const found = await mismatchesOf([
    told.coinsReserved('p1', [SPARE]),
    told.candidatePrepared(other),
    told.candidateSigned(other),
  ]);
  expect(found).toContainEqual(
    expect.objectContaining({ where: 'payout p1', stored: `${other.txid} may confirm beside ${FIRST.txid}` }),
  );
});

test('a withdrawal in two payouts is named, and a coin that is spent without being held', async () => {
  const stolen = { ...paymentOf(0, [COIN]), payoutId: 'p2', txid: hashNamed('another') };
  const found = await mismatchesOf([
    told.payoutStarted('p2', [ALICE], DEPTHS),
    told.withdrawalAssigned('wd1', 'p2'),
    told.candidatePrepared(stolen),
  ]);
  expect(found).toContainEqual(expect.objectContaining({ where: 'withdrawal wd1', stored: 'in payout p2' }));
  expect(found).toContainEqual(
    expect.objectContaining({ where: `coin ${COIN.outpoint}`, stored: 'spent by payout p2', expected: 'held by p1' }),
  );
});

test('a withdrawal that ends twice is named, and so is what its book is off by', async () => {
  const found = await mismatchesOf([
    told.withdrawalSettled(ALICE, 'p1', FIRST.txid, 0),
    told.withdrawalSettled(ALICE, 'p1', FIRST.txid, 0),
  ]);
  expect(found).toContainEqual(expect.objectContaining({ where: 'withdrawal wd1', expected: 'nothing is reserved' }));
  expect(found).toContainEqual(expect.objectContaining({ where: 'reserved:alice', stored: 'books -400' }));
});

test('money that is left in transit when a payout is closed is named', async () => {
  const found = await mismatchesOf([
    blockConnected(2, '2', '1', told.minedPayment(FIRST)),
    told.payoutSettled('p1', FIRST.txid, 10, [ALICE, BOB]),
    told.withdrawalSettled(ALICE, 'p1', FIRST.txid, 0),
    told.payoutClosed('p1', FIRST.txid),
  ]);
  expect(found).toContainEqual(
    expect.objectContaining({ where: 'payout p1', stored: '300 in transit when it was closed' }),
  );
});
