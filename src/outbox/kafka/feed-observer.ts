/** Told of everything that a feed gets over by itself: numbers for metrics, a line for the log. */
export interface FeedObserver {
  /** A hole in what Kafka delivered, once when it is seen: from `missing` on, and `found` came instead. */
  gapFound(ledger: string, missing: bigint, found: bigint): void;
  /** The whole hole was read from the outbox. */
  gapHealed(ledger: string): void;
  /** Events read from the outbox because of holes, or because Kafka was silent. */
  eventsHealed(ledger: string, count: number): void;
  duplicatesDropped(ledger: string, count: number): void;
  /** Kafka delivers nothing while the outbox goes on, or is away: reading from the outbox until it is back. */
  silent(ledger: string, position: bigint, reason: 'silent' | 'away'): void;
  /** Kafka delivers again. */
  backFromSilence(ledger: string, position: bigint): void;
  /** A message that cannot be read; the row itself is read from the outbox. */
  badMessage(error: Error): void;
  /** A consumer that was too slow for too long: what came was dropped, and will be read from the outbox. */
  overflowed(ledger: string, count: number): void;
  /** A failure that is tried again. */
  failed(error: Error): void;
}

export const NO_OBSERVER: FeedObserver = {
  gapFound: () => undefined,
  gapHealed: () => undefined,
  eventsHealed: () => undefined,
  duplicatesDropped: () => undefined,
  silent: () => undefined,
  backFromSilence: () => undefined,
  badMessage: () => undefined,
  overflowed: () => undefined,
  failed: () => undefined,
};
