import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { tellLog } from '../support/ledger-log.js';
import { runTallystick } from '../support/ledger-process.js';
import { projectToHead } from '../support/live-read-models.js';
import * as told from '../support/payout-events.js';
import {
  accountOpened,
  blockConnected,
  chainOpened,
  deposit,
  hashNamed,
  walletCreated,
} from '../support/small-histories.js';

const PAID = { id: 'wd1', account: 'alice', amount: 40_000, maxFee: 1_000 };
const WAITING = { id: 'wd2', account: 'bob', amount: 5_000 };
const CANCELLED = { id: 'wd3', account: 'bob', amount: 6_000 };
const COIN = told.coinNamed('c', 100_000);
const PAYMENT: told.Payment = {
  payoutId: 'p1',
  candidate: 0,
  txid: hashNamed('payment'),
  inputs: [COIN],
  pays: [PAID],
  change: 59_500,
  fee: 500,
};

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
  const coins = [deposit('c', null, 100_000), deposit('a', 'alice', 90_000), deposit('b', 'bob', 90_000)];
  await tellLog(database.ownerPool, 'main', [
    ...chainOpened(1),
    accountOpened('alice'),
    accountOpened('bob'),
    walletCreated('w'),
    blockConnected(1, '1', '0', {
      received: coins.flatMap(({ received }) => received ?? []),
      funding: coins.flatMap(({ funding }) => funding ?? []),
    }),
    told.fundsReserved(PAID),
    told.fundsReserved(WAITING),
    told.withdrawalDeferred(WAITING.id, 'the wallet has 3 sat'),
    told.fundsReserved(CANCELLED),
    told.withdrawalCancelled(CANCELLED),
    told.fundsReleased(CANCELLED, 'cancelled'),
    told.payoutStarted('p1', [PAID], { completeAt: 2, finalAt: 6 }),
    told.withdrawalAssigned(PAID.id, 'p1'),
    told.coinsReserved('p1', [COIN]),
    told.candidatePrepared(PAYMENT),
    told.candidateSigned(PAYMENT),
    told.candidateOffered('p1', PAYMENT.txid, 'accepted'),
  ]);
  expect(await projectToHead(database.pool, 'main', () => 100)).toEqual([]);
});

afterAll(async () => {
  await database.drop();
});

const tallystick = (...args: string[]): ReturnType<typeof runTallystick> =>
  runTallystick(args, { DATABASE_URL: database.url });

/** Answers of `--json`, one per line. */
async function listed(...args: string[]): Promise<Record<string, unknown>[]> {
  const { code, stdout, stderr } = await tallystick(...args, '--json');
  expect(code, stderr).toBe(0);
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

const ids = (rows: Record<string, unknown>[]): unknown[] => rows.map((row) => row['withdrawalId']);

describe('tallystick withdrawals', () => {
  it('lists the newest first, with amounts as strings', async () => {
    const all = await listed('withdrawals');
    expect(ids(all)).toEqual(['wd3', 'wd2', 'wd1']);
    expect(all[2]).toMatchObject({ amountSats: '40000', status: 'broadcast', txid: PAYMENT.txid, payoutId: 'p1' });
    expect(ids(await listed('withdrawals', '--limit', '1'))).toEqual(['wd3']);
  });

  it('lists one status, one account, and what is overdue', async () => {
    expect(ids(await listed('withdrawals', '--status', 'requested'))).toEqual(['wd2']);
    expect(ids(await listed('withdrawals', '--account', 'alice'))).toEqual(['wd1']);
    // Told as of January 2026: what is over is never overdue.
    expect(ids(await listed('withdrawals', '--overdue'))).toEqual(['wd2', 'wd1']);
  });

  it('prints columns for people, and says when there is nothing', async () => {
    const { code, stdout } = await tallystick('withdrawals', '--status', 'requested');
    const [heading, row, ...rest] = stdout.trimEnd().split('\n');
    expect([code, rest]).toEqual([0, []]);
    expect(heading).toMatch(/^id +account +sats +status +since +overdue +payout +txid +waits$/);
    expect(row).toMatch(/^wd2 +bob +5000 +requested +\S+Z +overdue +wallet-too-low$/);
    expect(await tallystick('withdrawals', '--status', 'failed')).toMatchObject({
      code: 0,
      stdout: 'no withdrawals\n',
    });
  });

  it('refuses what is no status and no limit, as wrong use, naming what may be given', async () => {
    const status = await tallystick('withdrawals', '--status', 'paid');
    expect(status).toMatchObject({ code: 2, stdout: '' });
    expect(status.stderr).toContain('--status must be one of requested, prepared, signed, broadcast');
    const limit = await tallystick('withdrawals', '--limit', '0');
    expect([limit.code, limit.stderr]).toEqual([2, 'tallystick: --limit must be 1 to 500\n']);
  });
});

describe('tallystick payouts', () => {
  it('lists them, by status and by wallet', async () => {
    expect(await listed('payouts')).toMatchObject([{ payoutId: 'p1', status: 'broadcast', confirmations: 0 }]);
    expect(await listed('payouts', '--status', 'broadcast', '--wallet', 'w')).toHaveLength(1);
    expect(await listed('payouts', '--wallet', 'other')).toEqual([]);
    expect(await tallystick('payouts', '--status', 'halted')).toMatchObject({ code: 0, stdout: 'no payouts\n' });
    const { stdout } = await tallystick('payouts');
    expect(stdout.split('\n')[1]).toMatch(new RegExp(`^p1 +w +broadcast +\\S+Z +0 +${PAYMENT.txid}$`));
  });

  it('refuses what is no status', async () => {
    const refused = await tallystick('payouts', '--status', 'requested');
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('--status must be one of started, prepared');
  });
});

it('says where there is nothing to read yet, and fails', async () => {
  const empty = await createTestDatabase();
  try {
    const refused = await runTallystick(['withdrawals'], { DATABASE_URL: empty.url });
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('the read models are not there yet');
  } finally {
    await empty.drop();
  }
});

it('names a ledger that is not there, and those that are', async () => {
  const refused = await runTallystick(['withdrawals'], { DATABASE_URL: database.url, LEDGER: 'unknown' });
  expect(refused.code).toBe(2);
  expect(refused.stderr).toMatch(/LEDGER: there is no ledger 'unknown' in this database, but main/);
});
