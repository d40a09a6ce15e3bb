import { eventUpcaster, type Upcaster } from '../../domain/events/upcast.js';
import type { RecordedEvent } from '../../eventstore/event-store.js';
import { invariant } from '../../platform/assert.js';
import { RetryableError } from '../../platform/errors.js';
import { expectContiguous } from '../expect-contiguous.js';
import type { FeedBatch, Outbox, OutboxFeed } from '../outbox.js';
import {
  createFollower,
  createFollowerSteps,
  readSoon,
  sleep,
  stir,
  type FeedSource,
  type Follower,
  type Transport,
} from './feed-follower.js';
import { NO_OBSERVER, type FeedObserver } from './feed-observer.js';
import { DEFAULT_LEDGER_FEED_LIMITS, type LedgerFeedLimits } from './ledger-feed-limits.js';
import type { OutboxMessage } from './message.js';
import { createOutboxView } from './outbox-view.js';

const OF_BLOCKS: ReadonlySet<string> = new Set(['BlockConnected', 'BlockDisconnected']);

export interface LedgerFeedOptions {
  ledger: string;
  /** Where what Kafka did not deliver is read from. */
  outbox: Outbox;
  observer?: FeedObserver;
  upcaster?: Upcaster;
  limits?: Partial<LedgerFeedLimits>;
  /**
   * Types of events for which a consumer reads other events in the outbox (a block's parts): handed out when a SELECT sees them.
   * All others are handed out as they come.
   */
  readWith?: (type: string) => boolean;
  /** Monotonic, in ms. */
  now?: () => number;
}

export interface LedgerFeedStatus {
  /** The worst of its followers; undefined without any. */
  source: FeedSource | undefined;
  /** The lowest position of its followers. */
  position: bigint | undefined;
  /** The outbox's head as last known. */
  head: bigint;
}

export interface LedgerFeed extends OutboxFeed {
  readonly ledger: string;
  /** A message from Kafka. False where a follower's queue is full: wait for `room`, or `overflow`. */
  deliver(message: OutboxMessage): boolean;
  /** Resolves when a message fits again, or after `ms`. */
  room(ms: number): Promise<void>;
  /** Followers that have no room for it drop what waits, and read the outbox up to its head instead: they hold nobody back. */
  overflow(message: OutboxMessage): void;
  /**
   * Whether Kafka delivers: `up`; `joining`, a few seconds at a start and when partitions are given out anew; `away`, a failure, which is
   * told. Not `up`: the outbox is read often. A feed begins as `joining`.
   */
  transport(state: Transport): void;
  status(): LedgerFeedStatus;
}

/**
 * The events of one ledger as Kafka delivers them, each once and in order, whatever Kafka does: what it delivers again is dropped, what
 * it does not deliver is read from the outbox. A follower begins with what the outbox has, so it never waits for Kafka to
 * catch up.
 */
export function createLedgerFeed(options: LedgerFeedOptions): LedgerFeed {
  const { ledger, outbox, observer = NO_OBSERVER, upcaster = eventUpcaster, now = () => performance.now() } = options;
  const { readWith = (type: string) => OF_BLOCKS.has(type) } = options;
  const limits = { ...DEFAULT_LEDGER_FEED_LIMITS, ...options.limits };
  const followers = new Set<Follower>();
  const waitingForRoom = new Set<() => void>();
  let transport: Transport = 'joining';
  const view = createOutboxView({ ledger, outbox, ...limits, now, onFailure: (error) => observer.failed(error) });

  const next = createFollowerSteps({
    ...{ ledger, view, observer, upcaster, limits, readWith, now, tellRoom },
    transport: () => transport,
  });

  async function* follow(afterPosition: bigint, signal: AbortSignal): AsyncGenerator<FeedBatch, void, void> {
    invariant(afterPosition >= 0n, 'positions begin at 1');
    const follower = createFollower(afterPosition, limits);
    followers.add(follower);
    let retryMs = limits.minRetryMs;
    try {
      while (!signal.aborted) {
        const seen = follower.stirred;
        let events: RecordedEvent[] | undefined;
        try {
          events = await next(follower, signal);
          retryMs = limits.minRetryMs;
        } catch (error) {
          if (!(error instanceof RetryableError)) throw error;
          observer.failed(error);
          await sleep(retryMs, follower, signal, seen);
          retryMs = Math.min(retryMs * 2, limits.maxRetryMs);
          continue;
        }
        const last = events?.at(-1);
        if (events === undefined || last === undefined) continue;
        const { gap } = expectContiguous(follower.position, events);
        invariant(
          gap === undefined && last.position === follower.position + BigInt(events.length),
          `the feed was about to hand out what does not follow position ${follower.position}`,
        );
        if (isAborted(signal)) return;
        view.noteHead(last.position);
        follower.position = last.position;
        follower.behindSince = undefined;
        yield { events, head: view.head() };
      }
    } finally {
      followers.delete(follower);
      tellRoom();
    }
  }

  function tellRoom(): void {
    for (const wakeUp of waitingForRoom) wakeUp();
  }

  const followersWith = (sources: readonly FeedSource[]): Follower[] =>
    [...followers].filter(({ source }) => sources.includes(source));

  return {
    ledger,
    follow,

    wake(position) {
      view.noteHead(position);
      for (const follower of followersWith(['silent', 'away', 'catching-up'])) readSoon(follower);
    },

    deliver(message) {
      // To all or to none: where one has no room, the message comes again.
      for (const { queue, source } of followers) if (source === 'kafka' && !queue.fits(message)) return false;
      for (const follower of followers) {
        // One that reads the outbox up to its head will find it there: it holds nobody back.
        if (!follower.queue.fits(message)) follower.queue.clear();
        follower.queue.offer(message);
        stir(follower);
      }
      return true;
    },

    overflow(message) {
      for (const follower of followers) {
        if (follower.source !== 'kafka' || follower.queue.fits(message)) continue;
        observer.overflowed(ledger, follower.queue.length);
        follower.queue.clear();
        follower.source = 'catching-up';
      }
    },

    room(ms) {
      return new Promise((resolve) => {
        const done = (): void => {
          clearTimeout(timer);
          waitingForRoom.delete(done);
          resolve();
        };
        const timer = setTimeout(done, ms);
        waitingForRoom.add(done);
      });
    },

    transport(state) {
      if (state === transport) return;
      transport = state;
      if (state === 'away') {
        for (const follower of followersWith(['kafka', 'catching-up'])) {
          follower.source = 'away';
          observer.silent(ledger, follower.position, 'away');
        }
      } else {
        for (const follower of followersWith(['kafka', 'away'])) {
          if (follower.source === 'away') observer.backFromSilence(ledger, follower.position);
          // What was committed meanwhile is read once more before Kafka is relied on.
          follower.source = 'catching-up';
        }
      }
      for (const follower of followers) readSoon(follower);
    },

    status() {
      const worst = (['away', 'silent', 'catching-up', 'kafka'] as const).find(
        (source) => followersWith([source]).length > 0,
      );
      const positions = [...followers].map(({ position }) => position);
      return {
        source: worst,
        position: positions.length === 0 ? undefined : positions.reduce((a, b) => (a < b ? a : b)),
        head: view.head(),
      };
    },
  };
}

function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}
