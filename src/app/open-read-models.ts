import type { OutboxFeed } from '../outbox/outbox.js';
import { traceFeed } from '../outbox/trace-feed.js';
import { ALL_PROJECTIONS } from '../projections/all-projections.js';
import { ProgressTracker, type Progress } from '../projections/progress.js';
import { rebuildProjections } from '../projections/rebuild/rebuild-projections.js';
import { createProjectionRunner, type ProjectionRunner } from '../projections/runner/projection-runner.js';
import { readProjectionStatus, type ProjectionStatus } from '../projections/status.js';
import type { LedgerContext } from './process-parts.js';
import { PROJECTED_CHANNEL } from './projected-listener.js';

/** The read models as the other parts of a process see them. */
export interface OpenReadModels {
  progress: Progress;
  status: () => Promise<ProjectionStatus[]>;
  /** True while this process moves them: then nobody needs to ask the database where they are. */
  isToldHere: () => boolean;
}

/** What moves the read models of a ledger, or stands by for another that does. Not started. */
export function createRunner(context: LedgerContext, feed: OutboxFeed): ProjectionRunner {
  const { config, ledger, enginePool: pool, logger, onFatal, tracing } = context;
  const system = config.kafka === undefined ? 'postgresql' : 'kafka';
  return createProjectionRunner({
    pool,
    ledger,
    feed: tracing ? traceFeed(feed, { tracing, system, now: Date.now }) : feed,
    projections: ALL_PROJECTIONS,
    // Where the API may be in this very process, without Kafka, it is told; NOTIFY would make commits wait for each other.
    ...(config.kafka === undefined && config.roles.has('api') ? {} : { announceOn: PROJECTED_CHANNEL }),
    rebuild: (names, signal) => rebuildProjections({ pool, ledger, projections: ALL_PROJECTIONS, names, signal }),
    onHalt: (halt) => {
      logger.error({ ...halt, ledger, haltedAt: halt.haltedAt.toString() }, 'a projection has halted');
    },
    onNotice: (message, error) => {
      logger.warn({ err: error, ledger }, message);
    },
    onFatal,
  });
}

/** Read models that this process keeps up to date for as long as it runs. */
export async function openProjector(context: LedgerContext, feed: OutboxFeed): Promise<OpenReadModels> {
  const runner = createRunner(context, feed);
  await runner.start();
  context.closers.add('read models', () => runner.stop());
  return { progress: runner, status: () => runner.status(), isToldHere: () => runner.isLeader() };
}

/** Read models that other processes keep up to date: where they stand is asked of the database. */
export function watchReadModels({ ledger, pool, projected, closers }: LedgerContext): OpenReadModels {
  const progress = new ProgressTracker(pool, ledger, ALL_PROJECTIONS);
  const stopListening = projected.on(ledger, () => {
    progress.ask();
  });
  closers.add('read models', () => {
    stopListening();
    progress.close();
    return Promise.resolve();
  });
  return { progress, status: () => readProjectionStatus(pool, ledger, ALL_PROJECTIONS), isToldHere: () => false };
}
