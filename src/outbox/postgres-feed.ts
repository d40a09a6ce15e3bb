import type pg from 'pg';
import { eventUpcaster, type Upcaster } from '../domain/events/upcast.js';
import type { CommittedBatch } from '../eventstore/group-commit.js';
import { invariant } from '../platform/assert.js';
import { RetryableError } from '../platform/errors.js';
import { expectContiguous } from './expect-contiguous.js';
import { createListener } from './listener.js';
import type { FeedBatch, OutboxFeed } from './outbox.js';
import { readPage } from './read-page.js';
import { createRecentEvents } from './recent-events.js';

export interface FeedLimits {
  /** Events in one batch: at 2,000 the round trip no longer matters, and a consumer's transaction stays short. */
  maxBatchEvents: number;
  /** Bytes of documents in one batch: what a follower costs in memory. */
  maxBatchBytes: number;
  /** The safety net under notifications, which may be lost with the connection. */
  pollMs: number;
  /** Wait before listening again after the connection was lost. */
  reconnectMs: number;
  /** Wait after the database failed; doubles up to maxRetryMs. */
  minRetryMs: number;
  maxRetryMs: number;
  /** Events kept for followers that are nearly at the head: some batches of the appender. */
  recentEvents: number;
  recentBytes: number;
}

export const DEFAULT_FEED_LIMITS: Readonly<FeedLimits> = {
  maxBatchEvents: 2000,
  maxBatchBytes: 8 * 1024 * 1024,
  pollMs: 500,
  reconnectMs: 500,
  minRetryMs: 50,
  maxRetryMs: 5000,
  recentEvents: 2000,
  recentBytes: 8 * 1024 * 1024,
};

export interface PostgresFeedOptions {
  /** Its `int8` must come as bigint. The feed keeps one connection, to listen, and uses one per follower while it reads. */
  pool: pg.Pool;
  ledger: string;
  limits?: Partial<FeedLimits>;
  upcaster?: Upcaster;
  /** Told of failures that the feed gets over by itself: a lost connection, a database that is away. */
  onError?: (error: Error) => void;
}

export interface PostgresFeed extends OutboxFeed {
  /** Hands over what this process committed: followers at the head get it without reading it back. */
  committed(batch: CommittedBatch): void;
  /** Ends the listening connection. Followers are ended by their own signals. */
  close(): Promise<void>;
}

/** Channel of `pg_notify` in `append_events`. */
const CHANNEL = 'tallystick_outbox';

/** Follows the table `outbox`: woken by commits of this process and of others (LISTEN), and polling as a safety net. */
export function createPostgresFeed(options: PostgresFeedOptions): PostgresFeed {
  const { pool, ledger, upcaster = eventUpcaster, onError = () => undefined } = options;
  const limits = { ...DEFAULT_FEED_LIMITS, ...options.limits };
  const recent = createRecentEvents({ maxEvents: limits.recentEvents, maxBytes: limits.recentBytes });
  const sleepers = new Set<() => void>();
  let wakeUps = 0;
  let knownHead = 0n;

  function wake(position: bigint): void {
    if (position > knownHead) knownHead = position;
    wakeUps += 1;
    for (const wakeUp of sleepers) wakeUp();
  }

  const listener = createListener({
    pool,
    channel: CHANNEL,
    onNotification: (payload) => {
      const [ofLedger, position] = payload.split(':');
      // Anyone may notify on a channel: what cannot be a position only wakes.
      if (ofLedger === ledger) wake(/^\d{1,18}$/.test(position ?? '') ? BigInt(position ?? '') : 0n);
    },
    onListening: () => {
      wake(0n);
    },
    onError,
    reconnectDelayMs: limits.reconnectMs,
  });

  /** Until something may have been appended since `seen`, or it is time to look. */
  function sleep(ms: number, signal: AbortSignal, seen?: number): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted || (seen !== undefined && seen !== wakeUps)) {
        resolve();
        return;
      }
      const done = (): void => {
        clearTimeout(timer);
        sleepers.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      if (seen !== undefined) sleepers.add(done);
      signal.addEventListener('abort', done);
    });
  }

  async function nextBatch(afterPosition: bigint): Promise<FeedBatch> {
    const near = expectContiguous(afterPosition, recent.after(afterPosition, limits.maxBatchEvents)).next;
    const last = near.at(-1);
    if (last !== undefined) return { events: near, head: last.position > knownHead ? last.position : knownHead };
    const page = await readPage(pool, ledger, upcaster, {
      afterPosition,
      limit: limits.maxBatchEvents,
      maxBytes: limits.maxBatchBytes,
    });
    if (page.head > knownHead) knownHead = page.head;
    return page;
  }

  async function* follow(afterPosition: bigint, signal: AbortSignal): AsyncGenerator<FeedBatch, void, void> {
    invariant(afterPosition >= 0n, 'positions begin at 1');
    let position = afterPosition;
    let retryMs = limits.minRetryMs;
    while (!signal.aborted) {
      // Taken before the read: what is appended during it is not slept over.
      const seen = wakeUps;
      let batch: FeedBatch;
      try {
        batch = await nextBatch(position);
        retryMs = limits.minRetryMs;
      } catch (error) {
        if (!(error instanceof RetryableError)) throw error;
        onError(error);
        await sleep(retryMs, signal);
        retryMs = Math.min(retryMs * 2, limits.maxRetryMs);
        continue;
      }
      const last = batch.events.at(-1);
      if (last === undefined) {
        await sleep(limits.pollMs, signal, seen);
        continue;
      }
      const { gap } = expectContiguous(position, batch.events);
      invariant(gap === undefined, `the feed was about to skip position ${position + 1n}`);
      // Aborted while it was read: nobody waits for it any more.
      if (isAborted(signal)) return;
      yield batch;
      position = last.position;
    }
  }

  return {
    follow,
    wake,
    committed({ events }) {
      recent.add(events);
      const last = events.at(-1);
      if (last !== undefined) wake(last.position);
    },
    close: () => listener.close(),
  };
}

function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}
