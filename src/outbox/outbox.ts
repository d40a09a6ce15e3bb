import type { RecordedEvent } from '../eventstore/event-store.js';

/** Reading the ledger's total order. */
export interface Outbox {
  /** Position of the last event, 0n for an empty ledger. */
  head(): Promise<bigint>;
  /**
   * Events after `afterPosition`, in order, at most `limit`, fewer where they are large: only an empty answer means the end.
   * Asserts that they are contiguous.
   *
   * @throws FatalError where `afterPosition` is above the head
   */
  read(afterPosition: bigint, limit: number): Promise<RecordedEvent[]>;
  /**
   * Events of some types after `afterPosition`, in order, for readers that need a part of a long log: the others are counted,
   * so that a hole is found all the same, and not sent.
   *
   * @throws FatalError where `afterPosition` is above the head
   */
  readOfTypes(afterPosition: bigint, types: readonly string[]): Promise<SelectedEvents>;
  /**
   * Position of the last event recorded at or before `time`, 0n if none. Final: no event will be recorded at or before it.
   *
   * @throws FatalError for a time more than two seconds ahead of the database's clock
   */
  positionAt(time: Date): Promise<bigint>;
}

export interface SelectedEvents {
  events: RecordedEvent[];
  /** Every event of these types up to here is in `events`. */
  upTo: bigint;
  /** The ledger's head in the same snapshot: where `upTo` is the head, nothing is left. */
  head: bigint;
}

/** A batch of events as they come from the feed: contiguous, the first directly after the position that was asked for. */
export interface FeedBatch {
  events: RecordedEvent[];
  /** The ledger's head as known when the batch was read. */
  head: bigint;
}

/**
 * Follows the outbox. Each consumer says where it stands and gets batches one after the other: the next is read when it asks, so a slow
 * consumer costs no memory. Ends when `signal` aborts. Implementations: the table itself (woken by the commit, polling as
 * a safety net); others behind the same interface.
 */
export interface OutboxFeed {
  follow(afterPosition: bigint, signal: AbortSignal): AsyncIterable<FeedBatch>;
  /** Tells followers in this process that something was committed up to `position`. */
  wake(position: bigint): void;
}
