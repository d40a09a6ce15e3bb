import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createPostgresOutbox } from '../../src/outbox/postgres-outbox.js';
import { ALL_PROJECTIONS } from '../../src/projections/all-projections.js';
import { rebuildProjections } from '../../src/projections/rebuild/rebuild-projections.js';
import { readSchema } from '../../src/projections/tables/identifiers.js';
import { createAsOf } from '../../src/query/as-of.js';
import type { ResolvedAsOf } from '../../src/query/as-of.js';
import { WITHDRAWAL_STATUSES } from '../../src/query/overdue.js';
import type { ReadModels } from '../../src/query/ports.js';
import { createReadDatabase } from '../../src/query/sql/database.js';
import type { ReadDatabase } from '../../src/query/sql/database.js';
import { PAYOUT_STATUSES } from '../../src/query/sql/payout-status.js';
import { countOpenPayouts, listPayouts } from '../../src/query/sql/read-payouts.js';
import { countOpenWithdrawals, listWithdrawals } from '../../src/query/sql/read-withdrawals.js';
import type { OverdueAt } from '../../src/query/sql/read-withdrawals.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { tellLog } from '../support/ledger-log.js';
import { dumpTables, projectToHead } from '../support/live-read-models.js';
import { tellPayouts } from '../support/payout-model.js';

const RUNS = Number(process.env['MODEL_RUNS'] ?? 8);
const SEED = Number(process.env['MODEL_SEED'] ?? Math.trunc(Math.random() * 0x7fffffff));
/** On a machine that is busy with other things, too. */
const TIMEOUT_MS = 300_000 + RUNS * 30_000;
/** Every position of a short history, every so many of a long one. */
const POSITIONS = 20;
const ALL = { before: undefined, limit: 500 };

/** What is tried one after the other, mostly of the same payout: by chance alone, few lives would get that far. */
const STORIES = [
  // A payment that is closed; a reorg takes some of its blocks.
  [0, 4, 6, 8, 9, 10, 10, 10, 13, 10, 13, 12, 10, 10],
  // It is in a block before its signature is recorded, and out of it again.
  [0, 4, 6, 11, 2, 12, 8, 2, 10],
  [0, 4, 6, 11, 8, 10, 12, 10],
  // A thief is faster; a person decides; what was decided is done.
  [0, 4, 6, 8, 1, 2, 3, 14, 12, 10],
  // Paid again, the theft is undone, and both payments are in a block.
  [0, 4, 6, 8, 9, 1, 2, 3, 6, 8, 12, 11, 11, 13, 12, 10],
];

const choices = fc
  .array(
    fc.oneof(
      fc.nat(255).map((choice) => [choice]),
      fc
        .tuple(fc.constantFrom(...STORIES), fc.nat(15))
        .map(([story, which]) => story.map((choice) => choice + 16 * which)),
    ),
    { minLength: 4, maxLength: 12 },
  )
  .map((parts) => parts.flat());

/** Histories that were told wrongly once. */
const FORMER_FAULTS: [number[]][] = [
  // A payment that lost its block, and then a conflicting one came and went: it is where it was since it lost the block.
  [
    [
      128, 132, 134, 139, 130, 140, 136, 130, 138, 13, 169, 144, 148, 150, 155, 152, 154, 156, 154, 129, 1, 48, 52, 54,
      56, 57, 49, 50, 51, 54, 56, 60, 59, 59, 61, 60, 58,
    ],
  ],
  // A foreign spend looked up by its coin and then by its payout, before it was in the database.
  [
    [
      33, 190, 224, 228, 230, 235, 232, 234, 236, 234, 83, 0, 4, 6, 8, 9, 10, 10, 10, 13, 10, 13, 12, 10, 10, 16, 20,
      22, 24, 17, 18, 19, 30, 28, 26, 176, 180, 182, 187, 184, 186, 188, 186, 0, 4, 6, 8, 1, 2, 3, 14, 12, 10, 32, 36,
      38, 40, 41, 33, 34, 35, 38, 40, 44, 43, 43, 45, 44, 42,
    ],
  ],
];

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(async () => {
  await database.drop();
});

test(
  `lists by status, of what is overdue, and counts say what each withdrawal and payout says (seed ${SEED})`,
  async () => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(choices, async (told) => {
        run += 1;
        const ledger = `stages-${run}`;
        const { pool, ownerPool } = database;
        const events = tellPayouts(told, true);
        await tellLog(ownerPool, ledger, events);
        expect(await projectToHead(pool, ledger, () => 1 + ((told[1] ?? 0) % 7))).toEqual([]);
        const read = createReadDatabase(pool, ledger);
        const moment = createMoment(read, BigInt(events.length));
        const step = Math.max(1, Math.floor(events.length / POSITIONS));
        for (let position = events.length; position > 6; position -= step) {
          await compare(read, await moment(position), `position ${position}`);
        }
        const dump = await dumpTables(pool, readSchema(ledger));
        await rebuildProjections({ pool, ledger, projections: ALL_PROJECTIONS });
        expect(await dumpTables(pool, readSchema(ledger)), 'rebuilt, row for row').toEqual(dump);
      }),
      { seed: SEED, numRuns: RUNS, examples: FORMER_FAULTS, endOnFailure: process.env['MODEL_SHRINK'] === undefined },
    );
  },
  TIMEOUT_MS,
);

function createMoment(read: ReadDatabase, head: bigint): (position: number) => Promise<ResolvedAsOf> {
  const outbox = createPostgresOutbox({ pool: database.pool, ledger: read.ledger });
  const readModels: ReadModels = {
    reached: () => Promise.resolve(head),
    tipAt: () => undefined,
    waitFor: () => Promise.resolve(head),
    onAdvanced: () => () => undefined,
    status: () => Promise.resolve([]),
  };
  const resolve = createAsOf({ database: read, outbox, readModels });
  return (position) => resolve({ position: BigInt(position) }, ['payouts']);
}

/** What is listed without a filter is judged row by row. */
async function compare(read: ReadDatabase, at: ResolvedAsOf, where: string): Promise<void> {
  const overdue = await someAreLate(read, at);
  const withdrawals = await listWithdrawals(read, at, overdue, {}, ALL);
  for (const status of WITHDRAWAL_STATUSES) {
    const listed = await listWithdrawals(read, at, overdue, { status }, ALL);
    const expected = withdrawals.filter((withdrawal) => withdrawal.status === status);
    expect(listed, `${status} at ${where}`).toEqual(expected);
    const first = await listWithdrawals(read, at, overdue, { status }, { before: undefined, limit: 1 });
    expect(first, `newest ${status} at ${where}`).toEqual(expected.slice(0, 1));
  }
  const late = withdrawals.filter(({ overdueSince }) => overdueSince !== null);
  expect(await listWithdrawals(read, at, overdue, { overdue: true }, ALL), `overdue at ${where}`).toEqual(late);
  const counted = await countOpenWithdrawals(read, at, overdue);
  for (const status of ['requested', 'prepared', 'signed', 'broadcast', 'confirming'] as const) {
    const those = withdrawals.filter((withdrawal) => withdrawal.status === status);
    expect(
      counted.find((count) => count.status === status) ?? { status, count: 0, overdue: 0, amountSats: 0n },
      `number of ${status} withdrawals at ${where}`,
    ).toEqual({
      status,
      count: those.length,
      overdue: those.filter(({ overdueSince }) => overdueSince !== null).length,
      amountSats: those.reduce((sum, { amountSats }) => sum + amountSats, 0n),
    });
  }
  const payouts = await listPayouts(read, at, {}, ALL);
  for (const status of PAYOUT_STATUSES) {
    const listed = await listPayouts(read, at, { status }, ALL);
    const expected = payouts.filter((payout) => payout.status === status);
    expect(listed, `payouts ${status} at ${where}`).toEqual(expected);
  }
  const countedPayouts = await countOpenPayouts(read, at);
  for (const status of ['started', 'prepared', 'signed', 'broadcast', 'confirming', 'completed', 'halted'] as const) {
    const count = countedPayouts.find((counted) => counted.status === status)?.count ?? 0;
    const expected = payouts.filter((payout) => payout.status === status).length;
    expect(count, `number of ${status} payouts at ${where}`).toBe(expected);
  }
}

/** A second passes from event to event: judged so that some are late and others are not. */
async function someAreLate({ ledger }: ReadDatabase, { position }: ResolvedAsOf): Promise<OverdueAt> {
  const { rows } = await database.pool.query<{ recorded_at: Date }>(
    'SELECT recorded_at FROM outbox WHERE ledger = $1 AND position = $2',
    [ledger, position],
  );
  const minutes = { requested: 1, prepared: 1, signed: 1, broadcast: 1, confirming: 1 };
  return { minutes, now: new Date((rows[0]?.recorded_at.getTime() ?? 0) + 45_000) };
}
