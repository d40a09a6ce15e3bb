import { createFeedMetrics } from '../outbox/kafka/feed-metrics.js';
import type { KafkaSource } from '../outbox/kafka/kafka-source.js';
import { createLedgerFeed, type LedgerFeed } from '../outbox/kafka/ledger-feed.js';
import { runOwned } from '../outbox/kafka/run-owned.js';
import type { FeedObserver } from '../outbox/kafka/feed-observer.js';
import type { Outbox } from '../outbox/outbox.js';
import { RetryableError } from '../platform/errors.js';
import { createRunner } from './open-read-models.js';
import type { LedgerContext, ProcessParts } from './process-parts.js';

/** Kafka as the projectors of this process read it: one consumer for all ledgers, each of which has a feed. */
export interface OpenKafka {
  source: KafkaSource;
  /** Takes a ledger in: its read models are moved here whenever the group gives its partition to this process. */
  project(context: LedgerContext, outbox: Outbox): LedgerFeed;
  /** Begins, when all ledgers are taken in. */
  start(): void;
}

/** Undefined where projections read the outbox itself, or run elsewhere. */
export async function openKafka(parts: ProcessParts): Promise<OpenKafka | undefined> {
  const { config, metrics, logger, closers, onFatal } = parts;
  const { kafka, roles } = config;
  if (kafka === undefined || !roles.has('projector')) return undefined;
  const observer: FeedObserver = createFeedMetrics({
    counter: (name, help, labelNames) => metrics.counter(name, help, labelNames),
    logger,
  });
  const { openKafkaSource } = await import('../outbox/kafka/kafka-source.js');
  const source = openKafkaSource({ ...kafka, observer, logger });
  closers.add('Kafka', () => source.close());
  const projected = new Map<string, { context: LedgerContext; feed: LedgerFeed }>();

  async function run(ledger: string, signal: AbortSignal): Promise<void> {
    const project = projected.get(ledger);
    if (project === undefined) return;
    const runner = createRunner(project.context, project.feed);
    const stopped = new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => {
        resolve();
      });
      if (signal.aborted) resolve();
    });
    try {
      await runner.start();
      await stopped;
    } finally {
      await runner.stop();
    }
  }

  return {
    source,
    project(context, outbox) {
      const feed = createLedgerFeed({ ledger: context.ledger, outbox, observer });
      source.attach(feed);
      projected.set(context.ledger, { context, feed });
      return feed;
    },
    start() {
      const running = runOwned({
        source,
        ledgers: [...projected.keys()],
        run,
        onError: (ledger, error) => {
          // The runner tries again by itself what can be tried again, and has told of everything else.
          if (!(error instanceof RetryableError)) onFatal(error);
          logger.error({ err: error, ledger }, 'the read models of a ledger stopped');
        },
      });
      closers.add('projections', () => running.close());
    },
  };
}
