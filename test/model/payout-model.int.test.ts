import fc from 'fast-check';
import { graphql } from 'graphql';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createPostgresOutbox } from '../../src/outbox/postgres-outbox.js';
import { ALL_PROJECTIONS } from '../../src/projections/all-projections.js';
import { rebuildProjections } from '../../src/projections/rebuild/rebuild-projections.js';
import { readSchema } from '../../src/projections/tables/identifiers.js';
import { verifyLedger } from '../../src/projections/verify/verify-ledger.js';
import { createAsOf } from '../../src/query/as-of.js';
import { buildQuerySchema } from '../../src/query/graphql/build-schema.js';
import { Reader } from '../../src/query/reader.js';
import type { ReaderDeps } from '../../src/query/reader.js';
import { createReadDatabase } from '../../src/query/sql/database.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { tellLog } from '../support/ledger-log.js';
import type { ToldEvent } from '../support/ledger-log.js';
import { oracleAt, walletAt } from '../support/ledger-oracle.js';
import { dumpTables, projectToHead } from '../support/live-read-models.js';
import * as told from '../support/payout-events.js';
import { tellPayouts } from '../support/payout-model.js';
import { payoutOracleAt } from '../support/payout-oracle.js';
import {
  accountOpened,
  blockConnected,
  blockDisconnected,
  chainOpened,
  deposit,
  hashNamed,
  walletCreated,
} from '../support/small-histories.js';

const RUNS = Number(process.env['MODEL_RUNS'] ?? 9);
const SEED = Number(process.env['MODEL_SEED'] ?? Math.trunc(Math.random() * 0x7fffffff));
/** Of one case that failed before, as the failure names it. */
const from = process.env['MODEL_PATH'] === undefined ? {} : { path: process.env['MODEL_PATH'] };
/** On a machine that is busy with other things, too. */
const TIMEOUT_MS = 300_000 + RUNS * 30_000;
/** Every position of a short history, every so many of a long one. */
const POSITIONS = 14;

let database: TestDatabase;
const schema = buildQuerySchema();

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(async () => {
  await database.drop();
});

test(
  `withdrawals and payouts equal the oracle at every position and height, and rebuild row for row (seed ${SEED})`,
  async () => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(255), { minLength: 20, maxLength: 70 }), async (choices) => {
        run += 1;
        const ledger = `payouts-${run}`;
        const { pool, ownerPool } = database;
        const events = tellPayouts(choices);
        const first = Math.trunc(events.length / 2);
        await tellLog(ownerPool, ledger, events.slice(0, first));
        expect(await projectToHead(pool, ledger, () => 1 + ((choices[0] ?? 0) % 7))).toEqual([]);
        await rebuildProjections({ pool, ledger, projections: ALL_PROJECTIONS });
        await tellLog(ownerPool, ledger, events.slice(first));
        expect(await projectToHead(pool, ledger, () => 1 + ((choices[1] ?? 0) % 7))).toEqual([]);
        const ask = createAsk(ledger, BigInt(events.length));
        const step = Math.max(1, Math.floor(events.length / POSITIONS));
        for (let position = events.length; position > 6; position -= step) {
          compare(await ask({ position: String(position) }), events, position, Infinity);
          const top = oracleAt(events, position).tip?.height ?? 0;
          for (let height = 1; height <= top; height += 1) {
            compare(await ask({ position: String(position), height }), events, position, height);
          }
        }
        expect((await verifyLedger({ pool, ledger, projections: ALL_PROJECTIONS })).mismatches).toEqual([]);
        expect(await misjudgedCoins(ledger), 'coins to choose from').toEqual([]);
        const dump = await dumpTables(pool, readSchema(ledger));
        await rebuildProjections({ pool, ledger, projections: ALL_PROJECTIONS });
        expect(await dumpTables(pool, readSchema(ledger)), 'rebuilt, row for row').toEqual(dump);
      }),
      { seed: SEED, numRuns: RUNS, ...from, endOnFailure: process.env['MODEL_SHRINK'] === undefined },
    );
  },
  TIMEOUT_MS,
);

test('a withdrawal that was settled at a lower tip than its payout was started at is completed as of that height', async () => {
  const { pool, ownerPool } = database;
  const asked = { id: 'wd', account: 'alice', amount: 10_000 };
  const coin = told.coinNamed('coin', 100_000);
  const txid = hashNamed('payment');
  const payment = { payoutId: 'p', candidate: 0, txid, inputs: [coin], pays: [asked], change: 89_800, fee: 200 };
  const events = [
    walletCreated('w'),
    accountOpened('alice'),
    ...chainOpened(),
    blockConnected(1, '1', '0', deposit('coin', null, 100_000)),
    told.fundsReserved(asked),
    blockConnected(2, '2', '1'),
    blockConnected(3, '3', '2'),
    blockConnected(4, '4', '3'),
    told.payoutStarted('p', [asked], { completeAt: 2, finalAt: 3 }),
    told.withdrawalAssigned('wd', 'p'),
    told.coinsReserved('p', [coin]),
    blockDisconnected(4, '4', '3', 5),
    blockDisconnected(3, '3', '2', 4),
    blockDisconnected(2, '2', '1', 3),
    told.candidatePrepared(payment),
    blockConnected(2, '2b', '1', told.minedPayment(payment)),
    blockConnected(3, '3b', '2b'),
    told.candidateSigned(payment),
  ];
  const unsettled = events.length;
  events.push(told.payoutSettled('p', txid, 200, [asked]), told.withdrawalSettled(asked, 'p', txid, 0));
  await tellLog(ownerPool, 'lower', events);
  expect(await projectToHead(pool, 'lower', () => 3)).toEqual([]);
  const ask = createAsk('lower', BigInt(events.length));
  const at = async (position: number, height: number): Promise<unknown[]> => {
    const answer = await ask({ position: String(position), height });
    compare(answer, events, position, height);
    return answer.withdrawals.edges.map(({ node: { status, confirmations, candidates } }) => [
      status,
      confirmations,
      candidates,
    ]);
  };
  // Which payout it belongs to was recorded at height 4, and counts from there; so does all that follows from it.
  expect(await at(unsettled, 3)).toEqual([['requested', 0, []]]);
  // What was recorded of the withdrawal itself at height 3 says so again.
  expect(await at(events.length, 3)).toEqual([['completed', 2, [txid]]]);
  expect(await at(events.length, 2)).toEqual([['requested', 0, []]]);
});

/** Coins that are free to be chosen and should not be, or the other way round: judged from their histories. */
async function misjudgedCoins(ledger: string): Promise<unknown[]> {
  const { rows } = await database.pool.query<{ n: bigint }>(
    `WITH free AS (SELECT txid, vout, amount_sats FROM "read_${ledger}".spendable_coin
                   WHERE created_height IS NOT NULL AND held_by IS NULL),
          unspent AS (SELECT c.txid, c.vout, c.amount_sats FROM "read_${ledger}".coin c
                      WHERE c.to_position = 9223372036854775807 AND c.created_height IS NOT NULL AND c.spent_height IS NULL
                        AND NOT EXISTS (SELECT FROM "read_${ledger}".coin_reservation r
                          WHERE r.outpoint = c.txid || ':' || c.vout AND r.held AND r.to_position = 9223372036854775807))
     (TABLE free EXCEPT ALL TABLE unspent) UNION ALL (TABLE unspent EXCEPT ALL TABLE free)`,
  );
  return rows;
}

const STATUSES = ['requested', 'prepared', 'signed', 'broadcast', 'confirming', 'completed', 'cancelled'] as const;

interface Answer extends Record<(typeof STATUSES)[number], { edges: { node: { id: string } }[] }> {
  withdrawals: { edges: { node: Withdrawal }[] };
  payouts: { edges: { node: Payout }[] };
  accounts: { edges: { node: { id: string; reservedSats: string; availableSats: string } }[] };
  wallet: { reservedSats: string; confirmedSats: string; coins: { edges: { node: Coin }[] } } | null;
  ledger: Record<
    'differenceSats' | 'customersSats' | 'houseSats' | 'suspenseSats' | 'transitSats' | 'feesSats',
    string
  >;
}

interface Withdrawal {
  id: string;
  status: string;
  confirmations: number;
  candidates: string[];
  history: { position: string; type: string }[];
}

interface Payout {
  id: string;
  status: string;
  withdrawals: { id: string }[];
  candidates: { number: number; transactions: { txid: string; raw: string }[] }[];
}

interface Coin {
  amountSats: string;
  reserved: boolean;
  height: number | null;
}

const QUERY = `query ($asOf: AsOf) {
  withdrawals(first: 100, asOf: $asOf) { edges { node {
    id status statusSince overdueSince confirmations txid candidates block { height } history { position type txid }
  } } }
  payouts(first: 100, asOf: $asOf) { edges { node {
    id status statusSince confirmations withdrawals { id } wallet { id } waitReason
    candidates { number kind inputs { txid } outputs { change } transactions { txid raw answer confirmations } }
  } } }
  accounts(first: 10, asOf: $asOf) { edges { node { id reservedSats availableSats } } }
  wallet(id: "w", asOf: $asOf) { reservedSats confirmedSats coins(first: 100) { edges { node { amountSats reserved height } } } }
  ledger(asOf: $asOf) { differenceSats customersSats houseSats suspenseSats transitSats feesSats }
  ${STATUSES.map((status) => `${status}: withdrawals(filter: { status: "${status}" }, first: 100, asOf: $asOf) { edges { node { id } } }`).join('\n')}
}`;

type Ask = (asOf: object) => Promise<Answer>;

function createAsk(ledger: string, head: bigint): Ask {
  const read = createReadDatabase(database.pool, ledger);
  const outbox = createPostgresOutbox({ pool: database.pool, ledger });
  // Everything is projected; nothing moves.
  const readModels: ReaderDeps['readModels'] = {
    reached: () => Promise.resolve(head),
    tipAt: () => undefined,
    waitFor: () => Promise.resolve(head),
    onAdvanced: () => () => undefined,
    status: () => Promise.resolve([]),
  };
  const deps: ReaderDeps = {
    database: read,
    outbox,
    readModels,
    resolveAsOf: createAsOf({ database: read, outbox, readModels }),
  };
  return async (asOf) => {
    const contextValue = { reader: new Reader(deps, ['blocks']) };
    const { data, errors } = await graphql({ schema, source: QUERY, contextValue, variableValues: { asOf } });
    expect(errors, JSON.stringify(asOf)).toBeUndefined();
    return data as unknown as Answer;
  };
}

function compare(answer: Answer, events: readonly ToldEvent[], position: number, height: number): void {
  const oracle = payoutOracleAt(events, position, height);
  const where = `position ${position}, height ${height}`;
  const listed = answer.withdrawals.edges.map(
    ({ node: { id, status, confirmations, candidates } }): [string, unknown] => [
      id,
      { status, confirmations, candidates },
    ],
  );
  expect(new Map(listed.sort()), `withdrawals at ${where}`).toEqual(new Map([...oracle.withdrawals].sort()));
  for (const { node } of answer.withdrawals.edges) {
    expect(node.history[0]?.type, `${node.id} begins, at ${where}`).toBe('FundsReserved');
    const positions = node.history.map((event) => Number(event.position));
    expect(positions).toEqual([...new Set(positions)].sort((a, b) => a - b));
    expect(positions.at(-1)).toBeLessThanOrEqual(position);
  }
  for (const status of STATUSES) {
    const expected = [...oracle.withdrawals].filter(([, withdrawal]) => withdrawal.status === status).map(([id]) => id);
    const listed = answer[status].edges.map(({ node }) => node.id);
    expect(listed.sort(), `${status} at ${where}`).toEqual(expected.sort());
  }
  const payouts = answer.payouts.edges.map(({ node: { id, status } }): [string, string] => [id, status]);
  expect(new Map(payouts.sort()), `payouts at ${where}`).toEqual(new Map([...oracle.payouts].sort()));
  for (const { node } of answer.accounts.edges) {
    expect(node.reservedSats, `${node.id} at ${where}`).toBe(String(oracle.reserved.get(node.id) ?? 0n));
  }
  expect(answer.wallet?.reservedSats, `reserved coins at ${where}`).toBe(String(oracle.reservedCoins));
  const reserved = (answer.wallet?.coins.edges ?? []).filter(({ node }) => node.reserved && node.height !== null);
  expect(reserved.reduce((sum, { node }) => sum + BigInt(node.amountSats), 0n)).toBe(oracle.reservedCoins);
  const chain = oracleAt(events, position);
  expect(answer.wallet?.confirmedSats).toBe(String(walletAt(chain, 'w', height).confirmed));
  if (height !== Infinity) return;
  const { customersSats, houseSats, suspenseSats, transitSats, feesSats, differenceSats } = answer.ledger;
  expect([suspenseSats, differenceSats], `alarms at ${where}`).toEqual(['0', '0']);
  const sum = BigInt(answer.wallet?.confirmedSats ?? 0) + BigInt(transitSats) + BigInt(feesSats);
  expect(sum, `books at ${where}`).toBe(BigInt(customersSats) + BigInt(houseSats));
}
