import type pg from 'pg';
import type { EventType } from '../../domain/events/event-types.js';
import { eventUpcaster } from '../../domain/events/upcast.js';
import { invariant } from '../../platform/assert.js';
import { Assembler } from '../assembler.js';
import { streamReader } from '../log-reader.js';
import type { BulkTarget, ChainContext, Projection, ProjectedEvent } from '../projection.js';
import { prepareSession } from '../runner/leadership.js';
import { createIndexesSql, createTableSql } from '../tables/ddl.js';
import { quoted } from '../tables/identifiers.js';
import { BelowWindowError } from '../tables/ladder-table.js';
import type { TableDefinition } from '../tables/table-definition.js';
import { writeStatement } from '../tables/write-changes.js';
import { BulkWriter } from './bulk-writer.js';
import { createBulkRuntime } from './bulk-runtime.js';
import type { BulkRuntime } from './bulk-runtime.js';
import { streamLog } from './log-stream.js';

/** Connections for COPY. Two: more do not help beside the replay itself on few cores. */
const WRITERS = 2;

/** Connections for what is filled in SQL, and all of them for indexes in the end: one projection's tables each. */
const FILLERS = 2;

/**
 * Heights below the tip whose sums stay in memory. A day of blocks: the deepest reorg of mainnet since 2013 was 24. Deeper ones
 * make the replay begin anew with everything in memory.
 */
const REORG_WINDOW = 144;

/** Sorting a million rows in memory, for an index or a window. */
const MAINTENANCE_MEMORY = '256MB';

/** Ends of rows per statement, after the load. */
const LATE_CLOSES_PER_STATEMENT = 5_000;

export type ReplayPhase = 'replay' | 'write' | 'index';

export interface ReplayOptions {
  pool: pg.Pool;
  ledger: string;
  /** Which projections, and into which schema each; the schemas are there and empty. */
  targets: readonly { projection: Projection; schema: string }[];
  /** Last position to replay. */
  to: bigint;
  /** Heights below the tip whose sums stay in memory; a deeper reorg makes the replay begin anew without a limit. */
  reorgWindow?: number | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: ((phase: ReplayPhase, position: bigint) => void) | undefined;
  /**
   * Fill in SQL what projections say how to (`BulkLoad`). Without it every row comes from `apply`: `verify` does so, and thereby
   * checks what SQL has filled.
   */
  inSql?: boolean | undefined;
  /** Sees every event that `apply` needs as it passes: without `inSql` all of them, for checks of the log itself. */
  onEvent?: ((event: ProjectedEvent) => void) | undefined;
  /** The replay begins anew: what `onEvent` has gathered is void. */
  onRestart?: (() => void) | undefined;
}

/**
 * Replays the log from position 1 into new tables, in bulk: current rows in memory, everything else streamed out by COPY, keys and
 * indexes last.
 *
 * @returns the chain's context after the last event
 * @throws what a projection throws for an event that it cannot apply
 */
export async function replay(options: ReplayOptions): Promise<ChainContext> {
  try {
    return await replayWithin(options, options.reorgWindow ?? REORG_WINDOW);
  } catch (error) {
    if (!(error instanceof BelowWindowError)) throw error;
    // There is no limit to reorgs. Once more from the start, with everything in memory.
    for (const { projection, schema } of options.targets) {
      for (const { name } of projection.tables) {
        await options.pool.query(`DROP TABLE IF EXISTS ${quoted(schema)}.${quoted(name)}`);
      }
    }
    options.onRestart?.();
    return replayWithin(options, Infinity);
  }
}

async function replayWithin(options: ReplayOptions, window: number): Promise<ChainContext> {
  const { pool, to } = options;
  const clients: pg.PoolClient[] = [];
  const work: Promise<unknown>[] = [];
  try {
    while (clients.length < WRITERS + FILLERS + 1) clients.push(await pool.connect());
    const [source, ...others] = clients;
    invariant(source !== undefined, 'there is no connection');
    for (const client of others) await prepareBulkSession(client);
    const inSql = options.inSql === true && (await isReadableInSql(options, source));
    const targets = divide(options, inSql);
    const writers = others.slice(0, WRITERS);
    const fillers = others.slice(WRITERS);
    const queue = targets.filter(({ fills }) => fills.length > 0);
    const filled = fillers.map((client) => drain(queue, (target) => fillInSql(options, client, target)));
    const replayed = replayInMemory(options, source, writers, targets, {
      window,
      condition: inSql ? neededBy(options.targets) : undefined,
    });
    work.push(...filled, replayed);
    const { context, runtimes } = await firstFailureOf(replayed, filled);
    options.onProgress?.('index', to);
    const rest = targets.flatMap(({ schema, inMemory }) => inMemory.map((table) => ({ schema, table })));
    const finish = (client: pg.ClientBase): Promise<void> =>
      drain(rest, ({ schema, table }) => finishTable(client, schema, table));
    work.push(
      ...writers.map(finish),
      Promise.all(filled).then(() => Promise.all(fillers.map(finish))),
    );
    await Promise.all(work);
    for (const runtime of runtimes) await applyLateCloses(source, runtime);
    return context;
  } finally {
    // Whatever state the sessions are in (an aborted COPY, their settings) ends with them, and with them what still runs.
    for (const client of clients) client.release(true);
    await Promise.allSettled(work);
  }
}

interface Target {
  projection: Projection;
  schema: string;
  /** Filled in SQL, one after the other. */
  fills: { table: TableDefinition; fill: (target: BulkTarget) => Promise<void> }[];
  /** Filled by `apply`. */
  inMemory: TableDefinition[];
}

/** How each table is filled. */
function divide(options: ReplayOptions, inSql: boolean): Target[] {
  return options.targets.map(({ projection, schema }) => {
    const bulk = inSql ? (projection.bulk?.tables ?? []) : [];
    const fills = bulk.map(({ table: name, fill }) => {
      const table = projection.tables.find((candidate) => candidate.name === name);
      invariant(table !== undefined, `projection ${projection.name} has no table ${name}`);
      return { table, fill };
    });
    const inMemory = projection.tables.filter((table) => !fills.some((filled) => filled.table === table));
    return { projection, schema, fills, inMemory };
  });
}

/** Older versions that the SQL reads as it does the present ones: they lack `payoutId` alone, at which it does not look. */
const READABLE_OLDER: ReadonlySet<string> = new Set(['TransfersFound 1', 'BlockConnected 1']);

/**
 * SQL reads events as they are stored: only where all of them are of the current schema version. Asserts that no position is
 * missing: a replay of chosen events cannot see that.
 */
async function isReadableInSql({ ledger, to }: ReplayOptions, client: pg.ClientBase): Promise<boolean> {
  const { rows } = await client.query<{ type: string; schema_version: number; n: bigint }>(
    'SELECT type, schema_version, count(*) AS n FROM outbox WHERE ledger = $1 AND position BETWEEN 1 AND $2 GROUP BY 1, 2',
    [ledger, to],
  );
  const count = rows.reduce((sum, { n }) => sum + n, 0n);
  invariant(count === to, `ledger ${ledger} has ${count} events up to position ${to}`);
  return rows.every(
    ({ type, schema_version: version }) =>
      eventUpcaster.currentVersion(type) === version || READABLE_OLDER.has(`${type} ${version}`),
  );
}

/** What `main` gives; or throws as soon as any of them does. */
function firstFailureOf<T>(main: Promise<T>, others: readonly Promise<void>[]): Promise<T> {
  return new Promise((resolve, reject) => {
    main.then(resolve, reject);
    for (const other of others) other.catch(reject);
  });
}

/** Takes one item after the other until none is left: several side by side share the work. */
async function drain<T>(queue: T[], work: (item: T) => Promise<void>): Promise<void> {
  for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
}

async function fillInSql({ ledger, to }: ReplayOptions, client: pg.ClientBase, target: Target): Promise<void> {
  for (const { table, fill } of target.fills) {
    await client.query('BEGIN');
    await client.query(createTableSql(target.schema, table));
    await fill({ client, ledger, to, schema: target.schema });
    await finishTable(client, target.schema, table);
    await client.query('COMMIT');
  }
}

/** Key, indexes and statistics, after the load. */
async function finishTable(client: pg.ClientBase, schema: string, table: TableDefinition): Promise<void> {
  for (const sql of createIndexesSql(schema, table)) await client.query(sql);
  await client.query(`ANALYZE ${quoted(schema)}.${quoted(table.name)}`);
}

async function replayInMemory(
  options: ReplayOptions,
  source: pg.PoolClient,
  writers: readonly pg.ClientBase[],
  targets: readonly Target[],
  { window, condition }: { window: number; condition: string | undefined },
): Promise<{ context: ChainContext; runtimes: readonly BulkRuntime[] }> {
  for (const client of writers) await client.query('BEGIN');
  const writer = new BulkWriter(writers);
  const runtimes = targets
    .filter(({ inMemory }) => inMemory.length > 0)
    .map(({ projection, schema, fills }) => {
      const filled = new Set(fills.map(({ table }) => table.name));
      return createBulkRuntime(projection, schema, writer, filled, window);
    });
  const context = await replayEvents(options, source, runtimes, writer, condition);
  for (const runtime of runtimes) {
    const pages = runtime.openRows()[Symbol.iterator]();
    while (pages.next().done !== true) await writer.room();
  }
  options.onProgress?.('write', options.to);
  await writer.finish();
  await Promise.all(writers.map((client) => client.query('COMMIT')));
  return { context, runtimes };
}

/** The chain's context comes from these, whatever is rebuilt. */
const CHAIN_EVENTS: readonly EventType[] = [
  'ChainOpened',
  'DepositPolicySet',
  'TransfersFound',
  'BlockConnected',
  'BlockDisconnected',
];

/** SQL condition for the events that a replay of these needs, beside what is filled in SQL. */
function neededBy(targets: ReplayOptions['targets']): string {
  const chain = `type IN (${CHAIN_EVENTS.map((type) => `'${type}'`).join(', ')})`;
  return [chain, ...targets.map(({ projection: { bulk } }) => `(${bulk?.applies ?? 'true'})`)].join(' OR ');
}

async function replayEvents(
  { pool, ledger, to, signal, onProgress, onEvent }: ReplayOptions,
  source: pg.PoolClient,
  runtimes: readonly BulkRuntime[],
  writer: BulkWriter,
  condition: string | undefined,
): Promise<ChainContext> {
  const assembler = new Assembler({ tip: null, policy: null }, streamReader(pool, ledger));
  if (to === 0n) return assembler.context;
  for await (const page of streamLog(source, ledger, 0n, to, condition)) {
    signal?.throwIfAborted();
    for (const event of page) {
      const assembled = assembler.assemble(event);
      const projected = assembled instanceof Promise ? await assembled : assembled;
      onEvent?.(projected);
      for (const runtime of runtimes) runtime.apply(projected);
    }
    await writer.room();
    onProgress?.('replay', page.at(-1)?.position ?? 0n);
  }
  return assembler.context;
}

async function prepareBulkSession(client: pg.ClientBase): Promise<void> {
  // A rebuild that a crash interrupts begins anew: nothing of it need be durable before the switch, whose commit flushes all. (Rows
  // that are not logged are on disk when the transaction that made their table ends.) Where this process is gone, nobody waits for a
  // statement that may run for minutes.
  await client.query(
    `SET synchronous_commit = off; SET maintenance_work_mem = '${MAINTENANCE_MEMORY}'; ` +
      `SET work_mem = '${MAINTENANCE_MEMORY}'; SET client_connection_check_interval = '1s'; SET jit = off; ` +
      // It would keep whole blocks to look them up once.
      'SET enable_memoize = off',
  );
}

async function applyLateCloses(client: pg.ClientBase, runtime: BulkRuntime): Promise<void> {
  for (const { table, changes } of runtime.lateCloses()) {
    await prepareSession(client);
    for (let start = 0; start < changes.closes.length; start += LATE_CLOSES_PER_STATEMENT) {
      const closes = changes.closes.slice(start, start + LATE_CLOSES_PER_STATEMENT);
      const finish = { expression: '1', values: [] };
      await client.query(writeStatement(runtime.schema, [{ table, changes: { inserts: [], closes } }], finish));
    }
  }
}
