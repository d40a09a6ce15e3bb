import type { Upcaster } from '../../domain/events/upcast.js';
import type { RecordedEvent } from '../../eventstore/event-store.js';
import { RetryableError } from '../../platform/errors.js';
import { createDeliveryQueue, type DeliveryQueue } from './delivery-queue.js';
import type { FeedObserver } from './feed-observer.js';
import type { LedgerFeedLimits } from './ledger-feed-limits.js';
import { toEvent, type OutboxMessage } from './message.js';
import type { OutboxView } from './outbox-view.js';

/** Where a follower's events come from: Kafka, or the outbox until Kafka has been caught up with or is back. */
export type FeedSource = 'kafka' | 'catching-up' | 'silent' | 'away';

export type Transport = 'up' | 'joining' | 'away';

/** One that follows a ledger, and what it knows of the ways to the events. */
export interface Follower {
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

export function createFollower(afterPosition: bigint, limits: Readonly<LedgerFeedLimits>): Follower {
  return {
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
}

export function stir(follower: Follower): void {
  follower.stirred += 1;
  follower.wakeUp?.();
}

export function readSoon(follower: Follower): void {
  follower.readFrom = -Infinity;
  stir(follower);
}

/** Until something happened since `seen`, or it is time to look. */
export function sleep(ms: number, follower: Follower, signal: AbortSignal, seen: number): Promise<void> {
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

export interface FollowerStepsOptions {
  ledger: string;
  view: OutboxView;
  observer: FeedObserver;
  upcaster: Upcaster;
  limits: Readonly<LedgerFeedLimits>;
  readWith: (type: string) => boolean;
  now: () => number;
  /** As it is at the moment. */
  transport: () => Transport;
  /** A queue may have room again. */
  tellRoom: () => void;
}

/** The next events of a follower, from Kafka or from the outbox; undefined where there are none now and it should look again. */
export type NextStep = (follower: Follower, signal: AbortSignal) => Promise<RecordedEvent[] | undefined>;

/** What a follower does next: takes what was delivered, fills a hole, or reads the outbox while Kafka is silent or away. */
export function createFollowerSteps(options: FollowerStepsOptions): NextStep {
  const { ledger, view, observer, upcaster, limits, readWith, now, transport, tellRoom } = options;

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
    if (transport() !== 'up') return;
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
    if (follower.source === 'catching-up' && transport() !== 'joining') {
      follower.source = transport() === 'up' ? 'kafka' : 'away';
      if (transport() === 'away') observer.silent(ledger, follower.position, 'away');
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

  return next;
}

/** A look at the head that failed is repeated; the events are there. */
function ignoreRetryable(error: unknown): void {
  if (!(error instanceof RetryableError)) throw error;
}
