export interface LedgerFeedLimits {
  /** Events and bytes in one batch: as of the feed that reads the table. */
  maxBatchEvents: number;
  maxBatchBytes: number;
  /** What waits for a slow consumer at most, before Kafka is held back. */
  maxQueued: number;
  maxQueuedBytes: number;
  /** How often the outbox's head is looked at: one look-up of one row. */
  headPollMs: number;
  /** The outbox went on and nothing came for so long: Kafka is silent. */
  silentMs: number;
  /** How often the outbox is read while Kafka is silent. */
  pollMs: number;
  /** Decoding can be ahead of what a SELECT sees, by milliseconds. For so long: these events are of another outbox. */
  visibleMs: number;
  /** Wait after the database failed; doubles up to maxRetryMs. */
  minRetryMs: number;
  maxRetryMs: number;
}

export const DEFAULT_LEDGER_FEED_LIMITS: Readonly<LedgerFeedLimits> = {
  maxBatchEvents: 2000,
  maxBatchBytes: 8 * 1024 * 1024,
  maxQueued: 20_000,
  maxQueuedBytes: 32 * 1024 * 1024,
  headPollMs: 1000,
  silentMs: 2000,
  pollMs: 200,
  visibleMs: 10_000,
  minRetryMs: 20,
  maxRetryMs: 2000,
};
