import type pg from 'pg';
import { Assembler } from '../assembler.js';
import { streamReader } from '../log-reader.js';
import type { ChainContext, Projection, ProjectedEvent } from '../projection.js';
import { prepareSession } from '../runner/leadership.js';
import { createIndexesSql, createTableSql } from '../tables/ddl.js';
import { quoted } from '../tables/identifiers.js';
import { BelowWindowError } from '../tables/ladder-table.js';
import { writeStatement } from '../tables/write-changes.js';
import { BulkWriter } from './bulk-writer.js';
import { createBulkRuntime } from './bulk-runtime.js';
import type { BulkRuntime } from './bulk-runtime.js';
import { streamLog } from './log-stream.js';

/** Connections for COPY and for building indexes. Two: more do not help beside the replay itself on few cores. */
const WRITERS = 2;

/**
 * Heights below the tip whose sums stay in memory. A day of blocks: the deepest reorg of mainnet since 2013 was 24. Deeper ones
 * make the replay begin anew with everything in memory.
 */
const REORG_WINDOW = 144;

/** Sorting an index of a million rows in memory. */
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
  /** Sees every event as it passes, for checks of the log itself. */
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
  const { pool, targets, to } = options;
  const clients: pg.PoolClient[] = [];
  try {
    while (clients.length < WRITERS + 1) clients.push(await pool.connect());
    const [source, ...writers] = clients;
    if (source === undefined) return { tip: null, policy: null };
    for (const client of writers) await prepareBulkSession(client);
    for (const { projection, schema } of targets) {
      for (const table of projection.tables) await source.query(createTableSql(schema, table));
    }
    const writer = new BulkWriter(writers);
    const inSql = targets.filter(({ projection }) => projection.bulkSql !== undefined);
    const inMemory = targets
      .filter(({ projection }) => projection.bulkSql === undefined)
      .map(({ projection, schema }) => createBulkRuntime(projection, schema, writer, window));
    const context = await replayEvents(options, source, inMemory, writer);
    for (const runtime of inMemory) {
      const pages = runtime.openRows()[Symbol.iterator]();
      while (pages.next().done !== true) await writer.room();
    }
    options.onProgress?.('write', to);
    await writer.finish();
    for (const { projection, schema } of inSql) {
      await source.query(projection.bulkSql?.(schema) ?? '', [options.ledger, to]);
    }
    options.onProgress?.('index', to);
    await buildIndexes(targets, writers);
    for (const runtime of inMemory) await applyLateCloses(source, runtime);
    for (const { projection, schema } of targets) {
      for (const table of projection.tables) await source.query(`ANALYZE ${quoted(schema)}.${quoted(table.name)}`);
    }
    return context;
  } finally {
    // Whatever state the sessions are in (an aborted COPY, their settings) ends with them.
    for (const client of clients) client.release(true);
  }
}

async function replayEvents(
  { pool, ledger, to, signal, onProgress, onEvent }: ReplayOptions,
  source: pg.PoolClient,
  runtimes: readonly BulkRuntime[],
  writer: BulkWriter,
): Promise<ChainContext> {
  const assembler = new Assembler({ tip: null, policy: null }, streamReader(pool, ledger));
  if (to === 0n) return assembler.context;
  for await (const page of streamLog(source, ledger, 0n, to)) {
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
  // A rebuild that a crash interrupts begins anew: nothing of it need be durable before the switch, whose commit flushes all.
  await client.query(`SET synchronous_commit = off; SET maintenance_work_mem = '${MAINTENANCE_MEMORY}'`);
}

/** One table after the other per connection, the connections side by side. */
async function buildIndexes(targets: ReplayOptions['targets'], clients: readonly pg.ClientBase[]): Promise<void> {
  const work = targets.flatMap(({ projection, schema }) =>
    projection.tables.map((table) => createIndexesSql(schema, table)),
  );
  const next = async (client: pg.ClientBase): Promise<void> => {
    for (let statements = work.shift(); statements !== undefined; statements = work.shift()) {
      for (const sql of statements) await client.query(sql);
    }
  };
  const results = await Promise.allSettled(clients.map(next));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
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
