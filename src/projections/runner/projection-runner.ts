import type pg from 'pg';
import type { RecordedEvent } from '../../eventstore/event-store.js';
import type { OutboxFeed } from '../../outbox/outbox.js';
import { RetryableError } from '../../platform/errors.js';
import { haltRebuild, readCheckpoints, setCheckpointState } from '../checkpoint.js';
import { ensureTables } from '../ensure-tables.js';
import { ProgressTracker } from '../progress.js';
import type { Progress } from '../progress.js';
import type { Projection } from '../projection.js';
import { CannotProjectError } from '../rebuild/cannot-project-error.js';
import { readProjectionStatus } from '../status.js';
import type { ProjectionStatus } from '../status.js';
import { catchUpAside } from './catch-up-aside.js';
import { CATCH_UP_BATCH, gatherLane } from './gather-lane.js';
import type { Ready } from './gather-lane.js';
import { findUnusable, findWithoutTables } from './find-unusable.js';
import { GuardLostError } from './guard-lost-error.js';
import type { Halt, Lane } from './lane.js';
import { withLeadership } from './leadership.js';
import { pause } from './pause.js';
import { SwitchInProgressError } from './classify-write-error.js';

/** How often a standby asks for the leader's lock. */
const STANDBY_POLL_MS = 500;

/** A switch to rebuilt tables takes some milliseconds. */
const SWITCH_RETRY_MS = 10;

/** After an error of the database or the network. */
const RETRY_MS = 250;

/** How often a halted projection is looked at: a rebuild may have set it going. */
const HALTED_POLL_MS = 1_000;

/** Events per write from the feed: bounds the parameters of one statement. */
const MAX_BATCH = 500;

export interface ProjectionRunnerOptions {
  pool: pg.Pool;
  ledger: string;
  feed: OutboxFeed;
  projections: readonly Projection[];
  /** Channel of `pg_notify` on which each move of the checkpoints is told to other processes, as `ledger:position`. */
  announceOn?: string;
  /** Rebuilds projections whose tables are of another version; see `rebuildProjections`. A `CannotProjectError` halts that projection. */
  rebuild: (names: readonly string[], signal: AbortSignal) => Promise<void>;
  /** A projection stopped, for the log and for health. */
  onHalt?: (halt: Halt) => void;
  /** A bug or an event of a newer program: nothing moves any more, and the process should stop. */
  onFatal?: (error: Error) => void;
  /** Something failed that is tried again, or a standby took over; for the log. */
  onNotice?: (message: string, error?: unknown) => void;
}

export interface ProjectionRunner extends Progress {
  /** Settles when this runner leads and its tables are there, or stands by for another that does. */
  start(): Promise<void>;
  /** Finishes the batch at hand. */
  stop(): Promise<void>;
  status(): Promise<ProjectionStatus[]>;
  /** True while this process moves the checkpoints. */
  isLeader(): boolean;
}

/** Keeps the read models of one ledger up to date. One runner leads, any number stand by. */
export function createProjectionRunner(options: ProjectionRunnerOptions): ProjectionRunner {
  const { pool, ledger, projections } = options;
  const notice = options.onNotice ?? ((): void => undefined);
  const progress = new ProgressTracker(pool, ledger, projections);
  const stopping = new AbortController();
  let running: Promise<void> | undefined;
  let leading = false;

  async function run(started: () => void): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        await withLeadership(options, stopping.signal, started, async (client) => {
          leading = true;
          await lead(options, client, progress, stopping.signal, started);
        });
      } catch (error) {
        // A broken invariant is a bug: stop moving checkpoints, let the process decide.
        if (!(error instanceof RetryableError) && !isConnectionTrouble(error)) throw error;
        notice('read models cannot go on for now', error);
      } finally {
        if (leading) progress.leadLost();
        leading = false;
      }
      await pause(RETRY_MS, stopping.signal);
    }
  }

  return {
    start: () =>
      new Promise<void>((resolve, reject) => {
        running = run(resolve);
        running.then(resolve, (error: unknown) => {
          const fatal = error instanceof Error ? error : new Error(String(error));
          options.onFatal?.(fatal);
          reject(fatal);
        });
      }),
    stop: async () => {
      stopping.abort();
      progress.close();
      await running?.catch(() => undefined);
    },
    status: () => readProjectionStatus(pool, ledger, projections),
    isLeader: () => leading,
    waitFor: (position, names, timeoutMs) => progress.waitFor(position, names, timeoutMs),
    reached: (names) => progress.reached(names),
    tipAt: (position) => progress.tipAt(position),
    refresh: (maxAgeMs) => progress.refresh(maxAgeMs),
    onAdvanced: (listener) => progress.onAdvanced(listener),
    close: () => {
      progress.close();
    },
  };
}

async function lead(
  options: ProjectionRunnerOptions,
  client: pg.PoolClient,
  progress: ProgressTracker,
  signal: AbortSignal,
  started: () => void,
): Promise<void> {
  const { ledger, projections } = options;
  await ensureTables(client, ledger, projections);
  const retried = [...(await readCheckpoints(client, ledger)).values()].filter(({ state }) => state === 'halted');
  for (const { name } of retried) await setCheckpointState(client, ledger, name, 'live');
  const rebuilding = await startRebuilds(options, signal);
  try {
    while (!signal.aborted) {
      try {
        await follow(options, client, progress, signal, started, rebuilding);
      } catch (error) {
        if (error instanceof SwitchInProgressError) await pause(SWITCH_RETRY_MS, signal);
        else if (!(error instanceof GuardLostError)) throw error;
        else await throwIfTablesAreGone(options, rebuilding, error);
      }
    }
  } finally {
    await rebuilding.done;
  }
}

/** Somebody has removed tables under the runner: they are rebuilt when it takes the lead again. */
async function throwIfTablesAreGone(
  { pool, ledger, projections }: ProjectionRunnerOptions,
  rebuilding: Rebuilding,
  cause: GuardLostError,
): Promise<void> {
  const live = projections.filter(({ name }) => !rebuilding.names.has(name));
  const gone = await findWithoutTables(pool, ledger, live);
  if (gone.length > 0) throw new RetryableError(`tables of ${gone.join(', ')} are gone`, {}, { cause });
}

interface Rebuilding {
  names: Set<string>;
  done: Promise<void>;
  /** Aborts the follower when a rebuild is over: there is a projection to take in. */
  onDone: (callback: () => void) => void;
}

async function startRebuilds(
  { projections, rebuild, onHalt, onNotice, pool, ledger }: ProjectionRunnerOptions,
  signal: AbortSignal,
): Promise<Rebuilding> {
  const names = await findUnusable(pool, ledger, projections);
  let callback = (): void => undefined;
  const rebuilding: Rebuilding = {
    names: new Set(names),
    done: Promise.resolve(),
    onDone: (wanted) => {
      callback = wanted;
    },
  };
  if (names.length === 0) return rebuilding;
  for (const name of names) await setCheckpointState(pool, ledger, name, 'rebuilding');
  const rebuildRest = async (): Promise<void> => {
    const rest = [...rebuilding.names];
    try {
      await rebuild(rest, signal);
      rebuilding.names.clear();
    } catch (error) {
      if (!(error instanceof CannotProjectError)) throw error;
      await haltRebuild(pool, ledger, error.halt);
      rebuilding.names.delete(error.halt.name);
      onHalt?.(error.halt);
    }
  };
  const work = async (): Promise<void> => {
    while (!signal.aborted && rebuilding.names.size > 0) {
      try {
        await rebuildRest();
        if (rebuilding.names.size === 0) callback();
      } catch (error) {
        onNotice?.(`rebuild of ${[...rebuilding.names].join(', ')} failed`, error);
        await pause(STANDBY_POLL_MS, signal);
      }
    }
  };
  rebuilding.done = work();
  return rebuilding;
}

/** From the checkpoints as they are now: brings stragglers up to the foremost, then follows the feed in lockstep. */
async function follow(
  options: ProjectionRunnerOptions,
  client: pg.PoolClient,
  progress: ProgressTracker,
  signal: AbortSignal,
  started: () => void,
  rebuilding: Rebuilding,
): Promise<void> {
  const { ledger, projections, feed } = options;
  const checkpoints = await readCheckpoints(client, ledger);
  const all = projections.flatMap((projection) => {
    const checkpoint = checkpoints.get(projection.name);
    const usable = checkpoint?.state === 'live' && checkpoint.version === projection.version;
    return usable ? [{ projection, checkpoint }] : [];
  });
  const front = all.reduce(
    (greatest, { checkpoint }) => (checkpoint.position > greatest ? checkpoint.position : greatest),
    0n,
  );
  const isFar = ({ checkpoint }: Ready): boolean => front - checkpoint.position > BigInt(CATCH_UP_BATCH);
  const ready = all.filter((member) => !isFar(member));
  progress.take(checkpoints);
  started();
  const onHalts = (halts: readonly Halt[]): void => {
    for (const halt of halts) options.onHalt?.(halt);
  };
  const onMoved = ({ names, position, context }: Lane): void => {
    progress.tell(names, position, context.tip);
  };
  const lane = await gatherLane({ ...options, onMoved, onHalts }, client, ready, signal);
  if (lane === undefined) {
    await pause(STANDBY_POLL_MS, signal);
    return;
  }
  const interrupted = new AbortController();
  rebuilding.onDone(() => {
    interrupted.abort();
  });
  if (all.length + rebuilding.names.size < projections.length) {
    watchIdle(
      options,
      all.map(({ projection }) => projection.name),
      interrupted,
    );
  }
  const behind = all.filter(isFar);
  const aside = catchUpAside(options, behind, lane, progress, AbortSignal.any([signal, interrupted.signal]))
    .then(onHalts)
    .catch((error: unknown) => options.onNotice?.('a read model cannot catch up for now', error))
    .finally(() => {
      if (behind.length > 0) interrupted.abort();
    });
  try {
    for await (const batch of feed.follow(lane.position, AbortSignal.any([signal, interrupted.signal]))) {
      const chunks = chunksOf(batch.events, MAX_BATCH);
      for (const [at, events] of chunks.entries()) {
        const halts = await lane.apply(events, chunks[at + 1]);
        onHalts(halts);
        // Once more from the checkpoints: somebody must look after what is halted.
        if (halts.length > 0) return;
      }
      if (interrupted.signal.aborted) return;
    }
  } finally {
    interrupted.abort();
    await aside;
  }
}

function chunksOf(events: readonly RecordedEvent[], size: number): (readonly RecordedEvent[])[] {
  const chunks: (readonly RecordedEvent[])[] = [];
  for (let start = 0; start < events.length; start += size) chunks.push(events.slice(start, start + size));
  return chunks;
}

/** Looks now and then whether a projection that stands still has been set going (by a rebuild), and has it taken in. */
function watchIdle(options: ProjectionRunnerOptions, active: readonly string[], interrupted: AbortController): void {
  const timer = setInterval(() => {
    readCheckpoints(options.pool, options.ledger).then(
      (checkpoints) => {
        const usable = options.projections.filter(({ name, version }) => {
          const checkpoint = checkpoints.get(name);
          return checkpoint?.state === 'live' && checkpoint.version === version;
        });
        if (usable.some(({ name }) => !active.includes(name))) interrupted.abort();
      },
      (error: unknown) => options.onNotice?.('checkpoints cannot be read', error),
    );
  }, HALTED_POLL_MS);
  timer.unref();
  interrupted.signal.addEventListener('abort', () => {
    clearInterval(timer);
  });
}

/** Errors of the driver have no class of their own. */
function isConnectionTrouble(error: unknown): boolean {
  return (
    error instanceof Error &&
    ('severity' in error || 'code' in error || /connection|client|terminat/i.test(error.message))
  );
}
