import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ALL_PROJECTIONS } from '../../src/projections/all-projections.js';
import { rebuildProjections } from '../../src/projections/rebuild/rebuild-projections.js';
import { readSchema } from '../../src/projections/tables/identifiers.js';
import { verifyLedger } from '../../src/projections/verify/verify-ledger.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { tellLog } from '../support/ledger-log.js';
import type { ToldEvent } from '../support/ledger-log.js';
import { history } from '../support/history-plan.js';
import { tellHistory } from '../support/ledger-model.js';
import { accountAt, coinsAt, oracleAt, transfersAt, walletAt } from '../support/ledger-oracle.js';
import { dumpTables, projectToHead } from '../support/live-read-models.js';
import { ladderAt, validAt } from '../support/read-as-of.js';

type Dump = Record<string, Record<string, unknown>[]>;

/** Histories per run; each is a ledger of its own. */
const RUNS = Number(process.env['MODEL_RUNS'] ?? 15);
const SEED = Number(process.env['MODEL_SEED'] ?? Math.trunc(Math.random() * 0x7fffffff));

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(async () => {
  await database.drop();
});

test(`every read model equals the oracle at every position and height (seed ${SEED})`, async () => {
  let run = 0;
  await fc.assert(
    fc.asyncProperty(
      history,
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 }),
      async (steps, sizes) => {
        run += 1;
        const ledger = `model-${run}`;
        const events = tellHistory(steps);
        const { pool, ownerPool } = database;
        let batch = 0;
        const nextBatch = (): number => sizes[batch++ % sizes.length] ?? 1;
        // Some of it live, then rebuilt tables that go on live.
        const first = events.length - Math.trunc((events.length * (sizes[0] ?? 1)) / 10);
        await tellLog(ownerPool, ledger, events.slice(0, first));
        expect(await projectToHead(pool, ledger, nextBatch)).toEqual([]);
        await rebuildProjections({ pool, ledger, projections: ALL_PROJECTIONS });
        await tellLog(ownerPool, ledger, events.slice(first));
        expect(await projectToHead(pool, ledger, nextBatch)).toEqual([]);
        const dump = await dumpTables(pool, readSchema(ledger));
        for (let position = 1; position <= events.length; position += 1) compareAt(events, dump, position);
        const report = await verifyLedger({ pool, ledger, projections: ALL_PROJECTIONS });
        expect(report).toMatchObject({ mismatches: [], total: 0 });
        // A narrow window: some histories settle sums early, and some reorgs go below it.
        await rebuildProjections({ pool, ledger, projections: ALL_PROJECTIONS, reorgWindow: sizes.length - 1 });
        expect(await dumpTables(pool, readSchema(ledger)), 'rebuilt, row for row').toEqual(dump);
      },
    ),
    { seed: SEED, numRuns: RUNS, endOnFailure: process.env['MODEL_SHRINK'] === undefined },
  );
}, 600_000);

function compareAt(events: readonly ToldEvent[], dump: Dump, position: number): void {
  const oracle = oracleAt(events, position);
  const tip = oracle.tip?.height ?? -1;
  for (let height = -1; height <= tip; height += 1) {
    if (height >= 0 && height < 6) continue;
    compareAccounts(oracle, dump, position, height, height);
    compareChainFacts(oracle, dump, position, height);
  }
  // Without a height: the books count whole, also what was recorded above a tip that a reorg lowered.
  compareAccounts(oracle, dump, position, Infinity, tip);
  compareBlocks(oracle, dump, position);
  compareBooks(oracle, dump, position);
  compareEntries(oracle, dump, position);
}

type Oracle = ReturnType<typeof oracleAt>;

function compareAccounts(oracle: Oracle, dump: Dump, position: number, height: number, tip: number): void {
  for (const account of oracle.accounts) {
    const chain = ladderAt(dump['account_chain'] ?? [], 'account_id', account, position, height);
    const books = ladderAt(dump['account_books'] ?? [], 'account_id', account, position, height);
    const stored = {
      deposited: chain?.['deposited_sats'] ?? 0n,
      matured: chain?.['matured_sats'] ?? 0n,
      received: books?.['received_sats'] ?? 0n,
      sent: books?.['sent_sats'] ?? 0n,
    };
    expect(stored, `account ${account} at position ${position}, height ${height}, tip ${tip}`).toEqual(
      accountAt(oracle, account, height),
    );
  }
}

function compareChainFacts(oracle: Oracle, dump: Dump, position: number, height: number): void {
  const where = `position ${position}, height ${height}`;
  for (const wallet of ['w0', 'w1']) {
    const row = ladderAt(dump['wallet_chain'] ?? [], 'wallet_id', wallet, position, height);
    const stored = { confirmed: row?.['confirmed_sats'] ?? 0n, immature: row?.['immature_sats'] ?? 0n };
    expect(stored, `wallet ${wallet} at ${where}`).toEqual(walletAt(oracle, wallet, height));
  }
  const reached = (value: unknown): boolean => typeof value === 'number' && value <= height;
  const statuses = validAt(dump['transfer'] ?? [], position)
    .filter((row) => reached(row['first_height']))
    .map((row): [string, string] => [
      row['id'] as string,
      reached(row['block_height']) ? 'CONFIRMED' : reached(row['conflict_height']) ? 'CONFLICTED' : 'ORPHANED',
    ]);
  expect(new Map(statuses.sort()), `transfers at ${where}`).toEqual(new Map([...transfersAt(oracle, height)].sort()));
  const coins = validAt(dump['coin'] ?? [], position)
    .filter((row) => reached(row['created_height']) && !reached(row['spent_height']))
    .map((row): [string, unknown] => [`${String(row['txid'])}:${String(row['vout'])}`, row['amount_sats']]);
  expect(new Map(coins.sort()), `coins at ${where}`).toEqual(new Map([...coinsAt(oracle, height)].sort()));
}

function compareBlocks(oracle: Oracle, dump: Dump, position: number): void {
  const blocks = validAt(dump['block'] ?? [], position)
    .map(({ hash, height }) => ({ hash, height: height as number }))
    .sort((a, b) => a.height - b.height)
    .slice(1);
  expect(blocks, `blocks at position ${position}`).toEqual(oracle.chain.map(({ hash, height }) => ({ hash, height })));
  const [tip] = validAt(dump['chain_tip'] ?? [], position);
  expect(tip === undefined ? null : { height: tip['height'], hash: tip['hash'] }).toEqual(oracle.tip);
  const reorgs = validAt(dump['reorg'] ?? [], position).map((row) => ({
    start: Number(row['start_position']),
    fork: row['fork_height'],
    disconnected: row['disconnected'],
    connected: row['connected'],
  }));
  expect(reorgs, `reorgs at position ${position}`).toEqual(oracle.reorgs);
  const scripts = validAt(dump['script'] ?? [], position).map((row): [unknown, unknown] => [
    row['script'],
    { wallet: row['wallet_id'], account: row['account_id'] },
  ]);
  expect(new Map(scripts)).toEqual(oracle.scripts);
}

function compareBooks(oracle: Oracle, dump: Dump, position: number): void {
  const value = (book: string): bigint =>
    (ladderAt(dump['book_balance'] ?? [], 'book', book, position, Infinity)?.['balance_sats'] as bigint | undefined) ??
    0n;
  const wallets = ['w0', 'w1'].map((wallet) => walletAt(oracle, wallet, Infinity));
  ['w0', 'w1'].forEach((wallet, index) => {
    const { confirmed = 0n, immature = 0n } = wallets[index] ?? {};
    expect(value(`wallet:${wallet}`), `book of ${wallet} at position ${position}`).toBe(confirmed + immature);
  });
  const owed = oracle.accounts.reduce((total, account) => {
    const { deposited, received, sent } = accountAt(oracle, account, Infinity);
    return total + deposited + received - sent;
  }, 0n);
  expect(value('customers'), `customers at position ${position}`).toBe(-owed);
  expect(value('customers') + value('house') + value('suspense') + value('wallets'), `sum at ${position}`).toBe(0n);
}

function compareEntries(oracle: Oracle, dump: Dump, position: number): void {
  const stored = (dump['account_entry'] ?? [])
    .filter((row) => (row['position'] as bigint) <= BigInt(position))
    .map((row) => ({
      account: row['account_id'] as string,
      position: Number(row['position']),
      type: row['type'],
      amount: row['amount_sats'],
      reference: row['reference'] as string,
      balance: row['balance_sats'],
      hash: row['block_hash'],
    }));
  const order = (a: { position: number; account: string }, b: { position: number; account: string }): number =>
    a.position - b.position || a.account.localeCompare(b.account);
  expect(stored.sort(order), `entries at position ${position}`).toEqual([...oracle.entries].sort(order));
}
