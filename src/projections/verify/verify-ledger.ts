import type pg from 'pg';
import { RetryableError } from '../../platform/errors.js';
import { readCheckpoints } from '../checkpoint.js';
import type { Checkpoint } from '../checkpoint.js';
import type { ChainContext, Projection } from '../projection.js';
import { replay } from '../rebuild/replay.js';
import { endSession } from '../runner/leadership.js';
import { advisoryKey, quoted, readSchema, verifySchema } from '../tables/identifiers.js';
import { isPresentOnly } from '../tables/table-definition.js';
import { BooksCheck } from './books-check.js';
import { checkLog } from './check-log.js';
import { checkTotals } from './check-totals.js';
import { comparePresent, presentTables } from './compare-present.js';
import { compareTable } from './compare-table.js';
import { MismatchList } from './mismatch.js';
import type { Mismatch } from './mismatch.js';

/** Mismatches that are named; the rest is counted. */
const MAX_LISTED = 1_000;

/** For the comparisons: sorts of some hundred thousand rows stay in memory. */
const WORK_MEMORY = '64MB';

/** Another process verifies this ledger right now. */
export class VerifyRunningError extends RetryableError {}

export interface VerifyProgress {
  phase: 'log' | 'replay' | 'compare';
  position: bigint;
  /** Last position that is verified. */
  head: bigint;
  table?: string;
}

export interface VerifyOptions {
  pool: pg.Pool;
  ledger: string;
  projections: readonly Projection[];
  onProgress?: (progress: VerifyProgress) => void;
  signal?: AbortSignal;
}

export interface VerifyReport {
  /** Position that everything was compared at: the greatest that a read model has reached. */
  position: bigint;
  tables: number;
  /** The first ones, in the order in which they were found. */
  mismatches: Mismatch[];
  /** All of them. */
  total: number;
}

/**
 * Replays the log from position 1 into scratch tables and compares every read table with them, row for row; checks the order of the
 * log, every event against its schema, and the books after every event. Commands may go on meanwhile.
 *
 * @throws VerifyRunningError where the ledger is being verified already
 */
export async function verifyLedger(options: VerifyOptions): Promise<VerifyReport> {
  const { pool, ledger } = options;
  const client = await pool.connect();
  const scratch = quoted(verifySchema(ledger));
  try {
    const { rows } = await client.query<{ locked: boolean }>('SELECT pg_try_advisory_lock($1::bigint) AS locked', [
      advisoryKey(ledger, 'verify'),
    ]);
    if (rows[0]?.locked !== true) throw new VerifyRunningError(`ledger ${ledger} is being verified already`);
    await client.query(`SET work_mem = '${WORK_MEMORY}'`);
    try {
      return await verify(options, client);
    } finally {
      await client.query(`DROP SCHEMA IF EXISTS ${scratch} CASCADE`);
    }
  } finally {
    await endSession(client);
  }
}

async function verify(options: VerifyOptions, client: pg.PoolClient): Promise<VerifyReport> {
  const { ledger, projections, onProgress } = options;
  const list = new MismatchList(MAX_LISTED);
  const checkpoints = await readCheckpoints(client, ledger);
  const groups = groupByPosition(projections, checkpoints, list);
  const position = groups[0]?.position ?? 0n;
  onProgress?.({ phase: 'log', position: 0n, head: position });
  await checkLog(client, ledger, position, list);
  let tables = 0;
  let isFirst = true;
  for (const group of groups) {
    tables += await verifyGroup(options, client, group, isFirst, list);
    isFirst = false;
  }
  const all = groups[0]?.projections.length === projections.length;
  if (all && groups.length === 1) {
    await namingBrokenTable('books', list, () => checkTotals(client, ledger, position, list));
  }
  return { position, tables, mismatches: list.listed, total: list.total };
}

interface Group {
  position: bigint;
  projections: Projection[];
}

/** Read models that stand at the same position are replayed together: nearly always all of them. The foremost first. */
function groupByPosition(
  projections: readonly Projection[],
  checkpoints: ReadonlyMap<string, Checkpoint>,
  list: MismatchList,
): Group[] {
  const groups = new Map<bigint, Group>();
  for (const projection of projections) {
    const checkpoint = checkpoints.get(projection.name);
    if (checkpoint?.state !== 'live') {
      list.add({
        kind: 'projection',
        where: projection.name,
        key: checkpoint === undefined ? 'checkpoint' : `position ${checkpoint.position}`,
        stored:
          checkpoint === undefined
            ? null
            : `${checkpoint.state}${checkpoint.reason === null ? '' : `: ${checkpoint.reason}`}`,
        expected: 'live',
      });
    }
    if (checkpoint === undefined || checkpoint.state === 'rebuilding' || checkpoint.version !== projection.version)
      continue;
    const group = groups.get(checkpoint.position) ?? { position: checkpoint.position, projections: [] };
    group.projections.push(projection);
    groups.set(checkpoint.position, group);
  }
  return [...groups.values()].sort((a, b) => (a.position < b.position ? 1 : -1));
}

async function verifyGroup(
  options: VerifyOptions,
  client: pg.PoolClient,
  { position, projections }: Group,
  withBooks: boolean,
  list: MismatchList,
): Promise<number> {
  const { pool, ledger, onProgress, signal } = options;
  const scratch = verifySchema(ledger);
  await client.query(`DROP SCHEMA IF EXISTS ${quoted(scratch)} CASCADE`);
  await client.query(`CREATE SCHEMA ${quoted(scratch)}`);
  let books = new BooksCheck(new MismatchList(MAX_LISTED));
  let context: ChainContext;
  try {
    context = await replay({
      pool,
      ledger,
      targets: projections.map((projection) => ({ projection, schema: scratch })),
      to: position,
      signal,
      onProgress: (_, at) => onProgress?.({ phase: 'replay', position: at, head: position }),
      onEvent: withBooks
        ? (event) => {
            books.see(event);
          }
        : undefined,
      onRestart: () => {
        books = new BooksCheck(new MismatchList(MAX_LISTED));
      },
    });
    list.addAll(books.mismatches);
  } catch (error) {
    list.addAll(books.mismatches);
    signal?.throwIfAborted();
    if (isDatabaseError(error)) throw error;
    // A log that cannot be replayed is a finding, and the end of it: there is nothing to compare with.
    const reason = error instanceof Error ? error.message : String(error);
    const where = projections.map(({ name }) => name).join(', ');
    list.add({
      kind: 'event',
      where,
      key: `up to position ${position}`,
      stored: reason,
      expected: 'a log that can be replayed',
    });
    return 0;
  }
  const tables = projections.flatMap((projection) => projection.tables);
  for (const table of tables) {
    if (isPresentOnly(table)) continue;
    signal?.throwIfAborted();
    onProgress?.({ phase: 'compare', position, head: position, table: table.name });
    await namingBrokenTable(table.name, list, () =>
      compareTable(client, table, { live: readSchema(ledger), replayed: scratch }, position, list),
    );
  }
  // Last: it takes the replayed tables further.
  for (const projection of projections) {
    const [table] = presentTables(projection);
    if (table === undefined) continue;
    signal?.throwIfAborted();
    onProgress?.({ phase: 'compare', position, head: position, table: table.name });
    await namingBrokenTable(table.name, list, () =>
      comparePresent({ pool, ledger, signal }, client, projection, { position, context }, list),
    );
  }
  return tables.length;
}

/** A table that is not there, or has not the columns that it should have, is a finding as well. */
async function namingBrokenTable(where: string, list: MismatchList, check: () => Promise<void>): Promise<void> {
  try {
    await check();
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || !BROKEN_TABLE.includes(String(error.code))) throw error;
    list.add({ kind: 'table', where, key: 'as a whole', stored: error.message, expected: 'a table that can be read' });
  }
}

/** Undefined schema, table, column; types that cannot be compared. */
const BROKEN_TABLE: readonly string[] = ['3F000', '42P01', '42703', '42804'];

function isDatabaseError(error: unknown): boolean {
  return error instanceof RetryableError || (error instanceof Error && 'severity' in error);
}
