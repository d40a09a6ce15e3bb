import type pg from 'pg';
import { RetryableError } from '../../platform/errors.js';
import { invariant } from '../../platform/assert.js';
import { readLog } from '../log-reader.js';
import type { ChainContext, Projection } from '../projection.js';
import { CATCH_UP_BATCH } from '../runner/gather-lane.js';
import { endSession, prepareSession } from '../runner/leadership.js';
import { Lane } from '../runner/lane.js';
import { advisoryKey, quoted, rebuildSchema } from '../tables/identifiers.js';
import { CannotProjectError, namingPoison } from './cannot-project-error.js';
import { findPoison } from './find-poison.js';
import { replay } from './replay.js';
import type { ReplayPhase } from './replay.js';
import { switchTables } from './switch-tables.js';
import type { Rebuilt } from './switch-tables.js';

/** Another process (or another call) rebuilds this ledger's read models right now. */
export class RebuildRunningError extends RetryableError {}

export interface RebuildProgress {
  phase: ReplayPhase | 'catch-up' | 'switch';
  /** Of `catch-up` and `switch`. */
  projection?: string;
  position: bigint;
  /** Head of the log when the rebuild began. */
  head: bigint;
}

export interface RebuildOptions {
  pool: pg.Pool;
  ledger: string;
  projections: readonly Projection[];
  /** Which of them; default all. */
  names?: readonly string[];
  /** See `ReplayOptions`. */
  reorgWindow?: number;
  onProgress?: (progress: RebuildProgress) => void;
  signal?: AbortSignal;
}

/** Events that may be missing when the live runner is stopped for the switch. */
const CLOSE_ENOUGH = 200n;

/**
 * Rebuilds read models from position 1 into new tables beside the live ones, catches up and switches, one projection after the
 * other. Interrupted anywhere, the live tables are untouched; what is left behind is removed by the next rebuild.
 *
 * @throws RebuildRunningError where another rebuild of the ledger is running
 * @throws CannotProjectError for an event that a projection cannot take in
 */
export async function rebuildProjections(options: RebuildOptions): Promise<void> {
  const { pool, ledger } = options;
  const chosen = choose(options);
  const client = await pool.connect();
  try {
    const { rows } = await client.query<{ locked: boolean }>('SELECT pg_try_advisory_lock($1::bigint) AS locked', [
      advisoryKey(ledger, 'rebuild'),
    ]);
    if (rows[0]?.locked !== true)
      throw new RebuildRunningError(`read models of ledger ${ledger} are being rebuilt already`);
    await removeLeftovers(client, ledger);
    await client.query(chosen.map(({ name }) => `CREATE SCHEMA ${quoted(rebuildSchema(ledger, name))}`).join('; '));
    try {
      await rebuildLocked(options, client, chosen);
    } catch (error) {
      // Nobody may try again for long.
      if (error instanceof CannotProjectError) await removeLeftovers(client, ledger);
      throw error;
    }
    await removeLeftovers(client, ledger);
  } finally {
    await endSession(client);
  }
}

function choose({ projections, names }: RebuildOptions): readonly Projection[] {
  if (names === undefined) return projections;
  return names.map((name) => {
    const projection = projections.find((candidate) => candidate.name === name);
    invariant(projection !== undefined, `there is no projection ${name}`);
    return projection;
  });
}

async function removeLeftovers(client: pg.ClientBase, ledger: string): Promise<void> {
  const { rows } = await client.query<{ nspname: string }>(
    'SELECT nspname FROM pg_namespace WHERE starts_with(nspname, $1)',
    [`rebuild_${ledger}_`],
  );
  for (const { nspname } of rows) await client.query(`DROP SCHEMA ${quoted(nspname)} CASCADE`);
}

async function rebuildLocked(
  options: RebuildOptions,
  client: pg.PoolClient,
  chosen: readonly Projection[],
): Promise<void> {
  const { pool, ledger, signal } = options;
  const head = await readHead(client, ledger);
  const targets = chosen.map((projection) => ({ projection, schema: rebuildSchema(ledger, projection.name) }));
  const context = await replay({
    pool,
    ledger,
    targets: targets.map(({ projection, schema }) => ({ projection: namingPoison(projection), schema })),
    to: head,
    inSql: true,
    reorgWindow: options.reorgWindow,
    signal,
    onProgress: (phase, position) => options.onProgress?.({ phase, position, head }),
  }).catch(async (error: unknown) => {
    throw (await findPoison({ pool, ledger, targets, to: head, signal, error })) ?? error;
  });
  const worker = await pool.connect();
  try {
    await prepareSession(worker);
    for (const { projection, schema } of targets) {
      signal?.throwIfAborted();
      const lane = new Lane({
        ledger,
        schema,
        client: worker,
        projections: [{ projection, generation: 0n }],
        position: head,
        context,
        guarded: false,
      });
      await catchUp(options, projection.name, lane, head, worker);
      signal?.throwIfAborted();
      options.onProgress?.({ phase: 'switch', projection: projection.name, position: lane.position, head });
      await switchTables({ client, ledger, projections: options.projections }, projection, schema, (livePosition) =>
        advance(lane, livePosition, worker, ledger),
      );
    }
  } finally {
    worker.release(true);
  }
}

async function readHead(client: pg.ClientBase, ledger: string): Promise<bigint> {
  const { rows } = await client.query<{ position: bigint }>('SELECT position FROM ledger_head WHERE ledger = $1', [
    ledger,
  ]);
  return rows[0]?.position ?? 0n;
}

/** Applies what was recorded meanwhile, until the head is near. */
async function catchUp(
  { ledger, onProgress, signal }: RebuildOptions,
  projection: string,
  lane: Lane,
  head: bigint,
  client: pg.PoolClient,
): Promise<void> {
  for (;;) {
    signal?.throwIfAborted();
    const events = await readLog(client, ledger, lane.position, CATCH_UP_BATCH);
    if (events.length > 0) await applyOrThrow(lane, events);
    onProgress?.({ phase: 'catch-up', projection, position: lane.position, head });
    if (BigInt(events.length) < CLOSE_ENOUGH) return;
  }
}

/** To the live position exactly, so that the read model never goes back. */
async function advance(lane: Lane, livePosition: bigint, client: pg.PoolClient, ledger: string): Promise<Rebuilt> {
  while (lane.position < livePosition) {
    const missing = Number(livePosition - lane.position);
    await applyOrThrow(lane, await readLog(client, ledger, lane.position, Math.min(missing, CATCH_UP_BATCH)));
  }
  const context: ChainContext = lane.context;
  return { position: lane.position, context };
}

async function applyOrThrow(lane: Lane, events: Parameters<Lane['apply']>[0]): Promise<void> {
  const [halt] = await lane.apply(events);
  if (halt) throw new CannotProjectError(halt);
}
