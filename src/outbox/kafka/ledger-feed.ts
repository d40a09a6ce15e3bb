import { eventUpcaster, type Upcaster } from '../../domain/events/upcast.js';
import type { RecordedEvent } from '../../eventstore/event-store.js';
import { invariant } from '../../platform/assert.js';
import { RetryableError } from '../../platform/errors.js';
import { expectContiguous } from '../expect-contiguous.js';
import type { FeedBatch, Outbox, OutboxFeed } from '../outbox.js';
import { createDeliveryQueue, type DeliveryQueue } from './delivery-queue.js';
import { NO_OBSERVER, type FeedObserver } from './feed-observer.js';
import { toEvent, type OutboxMessage } from './message.js';
import { createOutboxView } from './outbox-view.js';

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

const OF_BLOCKS: ReadonlySet<string> = new Set(['BlockConnected', 'BlockDisconnected']);

/** Where a follower's events come from: Kafka, or the outbox until Kafka has been caught up with or is back. */
export type FeedSource = 'kafka' | 'catching-up' | 'silent' | 'away';

export type Transport = 'up' | 'joining' | 'away';

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

interface Follower {
  queue: DeliveryQueue<OutboxMessage>;
  position: bigint;
  source: FeedSource;
  /** Counts what could make waiting pointless. */
  stirred: number;
  wakeUp: (() => void) | undefined;
  /** Since when the outbox is known to be ahead although nothing came. */
  behindSince: number | undefined;
  headAt: number;
  /** While Kafka does not deliver: when the outbox is to be read again. */
  readFrom: number;
  /** Since when it is ahead of what the outbox shows. */
  aheadSince: number | undefined;
  /** The last position of a hole that is being read from the outbox. */
  gapUpTo: bigint | undefined;
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

  function stir(follower: Follower): void {
    follower.stirred += 1;
    follower.wakeUp?.();
  }

  function readSoon(follower: Follower): void {
    follower.readFrom = -Infinity;
    stir(follower);
  }

  /** Until something happened since `seen`, or it is time to look. */
  function sleep(ms: number, follower: Follower, signal: AbortSignal, seen: number): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted || seen !== follower.stirred) {
        resolve();
        return;
      }
      const done = (): void => {
        clearTimeout(timer);
        follower.wakeUp = undefined;
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      follower.wakeUp = done;
      signal.addEventListener('abort', done);
    });
  }

  /** Looks at the outbox's head, not more often than `headPollMs`. */
  async function pollHead(follower: Follower): Promise<void> {
    const at = now();
    if (at - follower.headAt < limits.headPollMs) return;
    follower.headAt = at;
    const { position } = follower;
    const found = await view.look();
    if (found >= position) follower.aheadSince = undefined;
    else follower.aheadSince ??= at;
    if (follower.aheadSince !== undefined && at - follower.aheadSince > limits.visibleMs) {
      throw view.anotherOutbox(position, found);
    }
  }

  /** The events of messages. Where one cannot be read, those before it: the next look finds a hole there, and heals it. */
  function parse(follower: Follower, messages: readonly OutboxMessage[]): RecordedEvent[] {
    const events: RecordedEvent[] = [];
    for (const [index, message] of messages.entries()) {
      try {
        events.push(toEvent(message, upcaster));
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        observer.badMessage(error);
        const rest = messages.slice(index + 1);
        follower.queue.putBack(rest);
        // A hole at the very end shows only with the next delivery, so the outbox is asked at once.
        if (rest.length === 0) follower.source = 'catching-up';
        break;
      }
    }
    return events;
  }

  function backToKafka(follower: Follower): void {
    // What is left in the queue says nothing of what will come.
    if (transport !== 'up') return;
    if (follower.source === 'silent' || follower.source === 'away') {
      observer.backFromSilence(ledger, follower.position);
    }
    follower.source = 'kafka';
    follower.readFrom = -Infinity;
    follower.behindSince = undefined;
  }

  /** The next events; undefined where there are none now and the follower should look again. */
  async function next(follower: Follower, signal: AbortSignal): Promise<RecordedEvent[] | undefined> {
    const seen = follower.stirred;
    const { step, duplicates, seenUpTo } = follower.queue.take(
      follower.position,
      limits.maxBatchEvents,
      limits.maxBatchBytes,
    );
    if (duplicates > 0) observer.duplicatesDropped(ledger, duplicates);
    tellRoom();
    if (step.kind === 'apply') {
      backToKafka(follower);
      const events = parse(follower, step.messages);
      if (events.length === 0) return undefined;
      await pollHead(follower).catch(ignoreRetryable);
      const last = events.findLast(({ type }) => readWith(type));
      if (last !== undefined) await view.untilVisible(last.position, signal);
      return events;
    }
    // It has come at least as far as we are: what follows will come from there.
    if (
      follower.source !== 'kafka' &&
      follower.source !== 'catching-up' &&
      seenUpTo >= follower.position &&
      seenUpTo > 0n
    ) {
      backToKafka(follower);
    }
    if (step.kind === 'missing') return heal(follower, step.found, signal, seen);
    if (follower.source !== 'kafka') return fromOutbox(follower, signal, seen);
    await pollHead(follower);
    if (isSilent(follower)) {
      follower.source = 'silent';
      observer.silent(ledger, follower.position, 'silent');
      return undefined;
    }
    await sleep(limits.headPollMs, follower, signal, seen);
    return undefined;
  }

  /** Reads a hole in what was delivered. */
  async function heal(
    follower: Follower,
    found: bigint,
    signal: AbortSignal,
    seen: number,
  ): Promise<RecordedEvent[] | undefined> {
    const missing = found - 1n - follower.position;
    if (follower.source === 'kafka' && follower.gapUpTo === undefined) {
      follower.gapUpTo = found - 1n;
      observer.gapFound(ledger, follower.position + 1n, found);
    }
    const limit = missing < BigInt(limits.maxBatchEvents) ? Number(missing) : limits.maxBatchEvents;
    const events = await view.read(follower.position, limit);
    if (events.length === 0) {
      await pollHead(follower);
      await sleep(limits.minRetryMs, follower, signal, seen);
      return undefined;
    }
    if (follower.source !== 'catching-up') observer.eventsHealed(ledger, events.length);
    const reached = events.at(-1)?.position ?? 0n;
    if (follower.gapUpTo !== undefined && reached >= follower.gapUpTo) {
      follower.gapUpTo = undefined;
      observer.gapHealed(ledger);
    }
    return events;
  }

  /** Kafka delivers nothing yet, or nothing any more. */
  async function fromOutbox(
    follower: Follower,
    signal: AbortSignal,
    seen: number,
  ): Promise<RecordedEvent[] | undefined> {
    // Deliveries wake it too: they are no reason to ask the database.
    const waitMs = follower.readFrom - now();
    if (waitMs > 0) {
      await sleep(waitMs, follower, signal, seen);
      return undefined;
    }
    // Before the read: whoever commits during it wants another one.
    follower.readFrom = now() + limits.pollMs;
    const events = await view.read(follower.position, limits.maxBatchEvents);
    if (events.length > 0) {
      follower.readFrom = -Infinity;
      if (follower.source !== 'catching-up') observer.eventsHealed(ledger, events.length);
      return events;
    }
    if (follower.source === 'catching-up' && transport !== 'joining') {
      follower.source = transport === 'up' ? 'kafka' : 'away';
      if (transport === 'away') observer.silent(ledger, follower.position, 'away');
      else follower.readFrom = -Infinity;
      return undefined;
    }
    return undefined;
  }

  /** The outbox is known to be ahead, and nothing came since. */
  function isSilent(follower: Follower): boolean {
    if (view.head() <= follower.position) {
      follower.behindSince = undefined;
      return false;
    }
    follower.behindSince ??= now();
    return now() - follower.behindSince >= limits.silentMs;
  }

  async function* follow(afterPosition: bigint, signal: AbortSignal): AsyncGenerator<FeedBatch, void, void> {
    invariant(afterPosition >= 0n, 'positions begin at 1');
    const follower: Follower = {
      queue: createDeliveryQueue({ maxMessages: limits.maxQueued, maxBytes: limits.maxQueuedBytes }),
      position: afterPosition,
      source: 'catching-up',
      stirred: 0,
      wakeUp: undefined,
      behindSince: undefined,
      headAt: -Infinity,
      readFrom: -Infinity,
      aheadSince: undefined,
      gapUpTo: undefined,
    };
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

/** A look at the head that failed is repeated; the events are there. */
function ignoreRetryable(error: unknown): void {
  if (!(error instanceof RetryableError)) throw error;
}

function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}
