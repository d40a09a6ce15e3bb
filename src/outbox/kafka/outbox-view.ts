import { setTimeout as delay } from 'node:timers/promises';
import type { RecordedEvent } from '../../eventstore/event-store.js';
import { FatalError, RetryableError } from '../../platform/errors.js';
import type { Outbox } from '../outbox.js';

export interface OutboxViewOptions {
  ledger: string;
  outbox: Outbox;
  /** Decoding can be ahead of what a SELECT sees, by milliseconds. For so long: these events are of another outbox. */
  visibleMs: number;
  /** Wait before asking again; after a failure it doubles up to maxRetryMs. */
  minRetryMs: number;
  maxRetryMs: number;
  onFailure: (error: Error) => void;
  /** Monotonic, in ms. */
  now: () => number;
}

/** What is known of the outbox's end, by all followers of a ledger together. */
export interface OutboxView {
  /** The ledger's head as far as anybody told. */
  head(): bigint;
  noteHead(position: bigint): void;
  /** Asks. @throws RetryableError */
  look(): Promise<bigint>;
  /** What the outbox has after a position; empty at its head. @throws RetryableError */
  read(position: bigint, limit: number): Promise<RecordedEvent[]>;
  /**
   * Waits until a SELECT sees the event at this position, also for a database that is away.
   *
   * @throws FatalError where it does not come: the outbox is not the one that the event came from
   */
  untilVisible(position: bigint, signal: AbortSignal): Promise<void>;
  anotherOutbox(position: bigint, end: bigint): FatalError;
}

export function createOutboxView(options: OutboxViewOptions): OutboxView {
  const { ledger, outbox, visibleMs, minRetryMs, maxRetryMs, onFailure, now } = options;
  let head = 0n;
  /** What a SELECT has shown. */
  let visible = 0n;

  function noteHead(position: bigint): void {
    if (position > head) head = position;
  }

  function noteVisible(position: bigint): void {
    if (position > visible) visible = position;
    noteHead(position);
  }

  async function look(): Promise<bigint> {
    const found = await outbox.head();
    noteVisible(found);
    return found;
  }

  /** Undefined where it was told to stop. */
  async function lookPatiently(signal: AbortSignal): Promise<bigint | undefined> {
    for (let retryMs = minRetryMs; !signal.aborted; retryMs = Math.min(retryMs * 2, maxRetryMs)) {
      try {
        return await look();
      } catch (error) {
        if (!(error instanceof RetryableError)) throw error;
        onFailure(error);
        await delay(retryMs);
      }
    }
    return undefined;
  }

  function anotherOutbox(position: bigint, end: bigint): FatalError {
    return new FatalError(
      `ledger ${ledger}: events up to position ${position} came, but the outbox ends at ${end}: it is not the one that they ` +
        'came from (was it restored?). Delete the topic: it is made anew, and what is missing is read from the outbox',
    );
  }

  return {
    head: () => head,
    noteHead,
    look,
    anotherOutbox,

    async read(position, limit) {
      // Decoding was faster than what a SELECT sees: as if there were nothing yet.
      if (position > visible && position > (await look())) return [];
      const events = await outbox.read(position, limit);
      const last = events.at(-1);
      if (last !== undefined) noteVisible(last.position);
      return events;
    },

    async untilVisible(position, signal) {
      let since: number | undefined;
      while (visible < position) {
        const found = await lookPatiently(signal);
        if (found === undefined || found >= position) return;
        since ??= now();
        if (now() - since > visibleMs) throw anotherOutbox(position, found);
        await delay(minRetryMs);
      }
    },
  };
}
