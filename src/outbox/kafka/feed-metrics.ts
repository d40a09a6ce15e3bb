import type { Logger } from '../../platform/logger.js';
import type { FeedObserver } from './feed-observer.js';

export interface FeedMetricsDeps {
  /** As of `Metrics.counter`. */
  counter: (
    name: string,
    help: string,
    labelNames?: readonly string[],
  ) => { inc(labels?: Record<string, string>, by?: number): void };
  logger: Pick<Logger, 'info' | 'warn'>;
}

/** Counts what a feed gets over by itself, and says it once in the log where it is worth a line. */
export function createFeedMetrics({ counter, logger }: FeedMetricsDeps): FeedObserver {
  const gaps = counter('feed_gaps_healed_total', 'Holes in what Kafka delivered, filled from the outbox', ['ledger']);
  const events = counter('feed_events_healed_total', 'Events read from the outbox because Kafka did not deliver them', [
    'ledger',
  ]);
  const duplicates = counter('feed_duplicates_dropped_total', 'Events that Kafka delivered again', ['ledger']);
  const silent = counter('feed_silent_total', 'Times that Kafka was away or silent while the outbox went on', [
    'ledger',
  ]);
  const overflows = counter('feed_overflows_total', 'Times that a slow consumer was sent to read the outbox', [
    'ledger',
  ]);
  const bad = counter('feed_bad_messages_total', 'Messages of the topic that are not rows of the outbox');
  return {
    gapFound: (ledger, missing, found) => {
      logger.warn({ ledger, missing: missing.toString(), found: found.toString() }, 'gap: reading from the outbox');
    },
    gapHealed: (ledger) => {
      gaps.inc({ ledger });
    },
    eventsHealed: (ledger, count) => {
      events.inc({ ledger }, count);
    },
    duplicatesDropped: (ledger, count) => {
      duplicates.inc({ ledger }, count);
    },
    silent: (ledger, position, reason) => {
      silent.inc({ ledger });
      logger.warn({ ledger, position: position.toString(), reason }, 'Kafka delivers nothing: reading the outbox');
    },
    backFromSilence: (ledger, position) => {
      logger.info({ ledger, position: position.toString() }, 'Kafka delivers again');
    },
    badMessage: (error) => {
      bad.inc();
      logger.warn({ err: error }, 'a message that is not a row of the outbox');
    },
    overflowed: (ledger, count) => {
      overflows.inc({ ledger });
      logger.warn({ ledger, dropped: count }, 'a slow consumer reads the outbox instead of what waited for it');
    },
    failed: (error) => {
      logger.warn({ err: error }, 'feed');
    },
  };
}
