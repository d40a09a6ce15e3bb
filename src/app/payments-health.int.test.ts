import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/support/database.js';
import * as told from '../../test/support/payout-events.js';
import { startQueryServer, type QueryServer } from '../../test/support/query-server.js';
import { accountOpened, blockConnected, chainOpened, deposit } from '../../test/support/small-histories.js';
import { hashNamed, walletCreated } from '../../test/support/small-histories.js';
import { createMetrics } from '../platform/metrics.js';
import { readPaymentsSummary } from '../query/payments-summary.js';
import type { WorkflowStatus } from '../workflow/workflow.js';
import { createPayoutsCheck } from './health-checks.js';
import { observePayments } from './observe-payments.js';

const ASKED = { id: 'wd1', account: 'alice', amount: 40_000, maxFee: 1_000 };
const WAITING = { id: 'wd2', account: 'alice', amount: 5_000 };
const COIN = told.coinNamed('c', 100_000);
const PAYMENT: told.Payment = {
  payoutId: 'p1',
  candidate: 0,
  txid: hashNamed('payment'),
  inputs: [COIN],
  pays: [ASKED],
  change: 59_500,
  fee: 500,
};
const THEFT: told.Payment = { ...PAYMENT, txid: hashNamed('theft'), pays: [], change: 0 };

let database: TestDatabase;
let server: QueryServer;
let workflow: WorkflowStatus | undefined;

beforeAll(async () => {
  database = await createTestDatabase();
  const parts = { pool: database.pool, ledger: 'main', payments: () => workflow };
  server = await startQueryServer({ database, health: [createPayoutsCheck(parts)] });
  const coins = [deposit('c', null, 100_000), deposit('a', 'alice', 90_000)];
  await server.tell([
    ...chainOpened(1),
    accountOpened('alice'),
    walletCreated('w'),
    blockConnected(1, '1', '0', {
      received: coins.flatMap(({ received }) => received ?? []),
      funding: coins.flatMap(({ funding }) => funding ?? []),
    }),
    told.fundsReserved(ASKED),
    told.fundsReserved(WAITING),
    told.payoutStarted('p1', [ASKED], { completeAt: 2, finalAt: 6 }),
    told.withdrawalAssigned(ASKED.id, 'p1'),
    told.coinsReserved('p1', [COIN]),
    told.candidatePrepared(PAYMENT),
    told.candidateSigned(PAYMENT),
    told.candidateOffered('p1', PAYMENT.txid, 'accepted'),
  ]);
});

afterAll(async () => {
  await server.close();
  await database.drop();
});

async function readiness(): Promise<{ status: number; text: string }> {
  const response = await fetch(`${server.url}/health/ready`);
  return { status: response.status, text: await response.text() };
}

/** What a scrape says of payments, without the comments. */
async function scrape(): Promise<string[]> {
  const metrics = createMetrics();
  const read = (): ReturnType<typeof readPaymentsSummary> =>
    readPaymentsSummary({ pool: database.pool, ledger: 'main' });
  observePayments(metrics.ofLedger('main'), read, () => Date.now());
  const { text } = await metrics.scrape();
  return text.split('\n').filter((line) => /^tallystick_(withdrawals|payouts|transit|fees)_/.test(line));
}

test('health is red while a payout waits for a person, and names it; metrics count it', async () => {
  expect(await readiness()).toMatchObject({ status: 200 });
  // The events are of January 2026: everything is overdue.
  expect(await scrape()).toEqual([
    'tallystick_withdrawals_open{ledger="main",status="broadcast"} 1',
    'tallystick_withdrawals_open{ledger="main",status="requested"} 1',
    'tallystick_withdrawals_overdue{ledger="main",status="broadcast"} 1',
    'tallystick_withdrawals_overdue{ledger="main",status="requested"} 1',
    'tallystick_payouts_open{ledger="main",status="broadcast"} 1',
    'tallystick_payouts_halted{ledger="main"} 0',
    'tallystick_payouts_refused{ledger="main"} 0',
    'tallystick_transit_sats{ledger="main"} 0',
    'tallystick_fees_sats{ledger="main"} 0',
  ]);
  await server.tell([
    blockConnected(2, '2', '1', told.minedPayment(THEFT, false)),
    told.payoutHalted('p1', COIN.outpoint, THEFT.txid, hashNamed('block 2'), 2),
  ]);
  const red = await readiness();
  expect(red.status).toBe(503);
  expect(red.text).toContain('p1');
  expect(red.text).toContain('a person has to decide');
  const halted = await scrape();
  expect(halted).toContain('tallystick_payouts_halted{ledger="main"} 1');
  expect(halted).toContain('tallystick_payouts_open{ledger="main",status="halted"} 1');
  await server.tell([told.payoutResumed('p1', THEFT.txid)]);
  expect(await readiness()).toMatchObject({ status: 200 });
});

test('health is red while the node refuses a payment for good, with its words, until it takes it', async () => {
  await server.tell([told.candidateOffered('p1', PAYMENT.txid, 'refused'), told.payoutDeferred('p1', 'node-refused')]);
  const red = await readiness();
  expect(red.status).toBe(503);
  expect(red.text).toContain('p1 (because: node-refused)');
  expect(await scrape()).toContain('tallystick_payouts_refused{ledger="main"} 1');
  await server.tell([told.candidateOffered('p1', PAYMENT.txid, 'accepted')]);
  expect(await readiness()).toMatchObject({ status: 200 });
  expect(await scrape()).toContain('tallystick_payouts_refused{ledger="main"} 0');
});

test('health is red where the process that should pay has not looked at what is due', async () => {
  workflow = { leading: true, lastRoundAtMs: Date.now() - 10 * 60_000 };
  const red = await readiness();
  expect(red.status).toBe(503);
  expect(red.text).toContain('nobody has looked at what is due');
  workflow = { leading: false, lastRoundAtMs: Date.now() - 10 * 60_000 };
  expect(await readiness()).toMatchObject({ status: 200 });
});
