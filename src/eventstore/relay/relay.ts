import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { PlatformError } from '../../platform/errors.js';
import { withLease, type HeldLease } from '../../platform/postgres/lease.js';
import { createEventStoreConnection, type EventStoreConnection } from '../eventstoredb/connection.js';
import { isAfter, type AllPosition, type StoredEvent } from '../eventstoredb/messages.js';
import { streamPrefix } from '../eventstoredb/stream-names.js';
import { checkWhole, DamagedEventError, laterOf, toRelayedEvent, type RelayedEvent } from './relayed-event.js';
import { subscribeToAll, type Subscription, type SubscriptionLimits } from './subscription.js';
import { readCheckpoint, RelayLeaseLostError, RelayRefusedError, writeRelayed } from './write-relayed.js';

export interface RelayLimits extends SubscriptionLimits {
  /** Events in one transaction: at 1,000 the round trip and the fsync no longer matter. */
  maxBatchEvents: number;
  /** Bounds how long one batch keeps the ledger's head locked. */
  maxBatchBytes: number;
  /**
   * Wait for more events while many are coming: 75 in a transaction instead of 500 halve what a busy machine relays. Where few
   * come, each is written at once.
   */
  gatherMs: number;
  writeTimeoutMs: number;
  /** Wait after a failure; doubles up to maxRetryMs. */
  minRetryMs: number;
  maxRetryMs: number;
  /** While nothing of the ledger comes, the checkpoint is moved so often at most. */
  idleCheckpointMs: number;
  leaseTtlMs: number;
}

export const DEFAULT_RELAY_LIMITS: Readonly<RelayLimits> = {
  maxBufferedEvents: 4000,
  maxBufferedBytes: 16 * 1024 * 1024,
  confirmationTimeoutMs: 5000,
  silenceMs: 15_000,
  maxBatchEvents: 1000,
  maxBatchBytes: 4 * 1024 * 1024,
  gatherMs: 10,
  writeTimeoutMs: 30_000,
  minRetryMs: 50,
  maxRetryMs: 2000,
  idleCheckpointMs: 1000,
  leaseTtlMs: 3000,
};

/** In one delivery: then more are on their way. */
const MANY_EVENTS = 32;

export interface RelayStatus {
  /** standing-by: another relay holds the lease, or the database is away. */
  state: 'standing-by' | 'subscribing' | 'relaying' | 'halted' | 'stopped';
  epoch: bigint | undefined;
  /** Place in `$all` up to which everything is in the outbox, as far as this process knows. */
  checkpoint: AllPosition | undefined;
  /** Of a halt: the event, by stream, revision and position, and what is wrong with it. */
  reason: string | undefined;
  relayedEvents: number;
  batches: number;
  subscriptions: number;
  /** Deliveries that were dropped because their place was passed already. */
  duplicatesDropped: number;
}

export interface Relay {
  start(): void;
  status(): RelayStatus;
  /** Writes what it holds, gives the lease back. */
  stop(): Promise<void>;
}

export interface RelayOptions {
  /** EventStoreDB's connection string. */
  url: string;
  /** Its `int8` must come as bigint. */
  pool: pg.Pool;
  ledger: string;
  limits?: Partial<RelayLimits>;
  /** Told of failures that it gets over by itself. */
  onError?: (error: Error) => void;
  /** Told once when it halts: it does not go on before a person has looked. */
  onHalt?: (error: Error) => void;
  /** A broken invariant: the process must end. */
  onFatal: (error: unknown) => void;
}

/**
 * Fills the outbox from `$all`: exactly once, in its order, one relay at a time per ledger. Rows, outcomes and checkpoint are one
 * transaction, which is refused where the lease has passed to another relay or the checkpoint is not where this one left it.
 */
export function createRelay(options: RelayOptions): Relay {
  const { url, pool, ledger } = options;
  const { onError = () => undefined, onHalt = () => undefined, onFatal } = options;
  const limits = { ...DEFAULT_RELAY_LIMITS, ...options.limits };
  const stopping = new AbortController();
  const status: RelayStatus = {
    state: 'standing-by',
    epoch: undefined,
    checkpoint: undefined,
    reason: undefined,
    relayedEvents: 0,
    batches: 0,
    subscriptions: 0,
    duplicatesDropped: 0,
  };
  let running: Promise<void> | undefined;

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        await withLease(
          {
            pool,
            ledger,
            role: 'relay',
            ttlMs: limits.leaseTtlMs,
            onError,
            standingBy: () => {
              status.state = 'standing-by';
              status.epoch = undefined;
            },
          },
          stopping.signal,
          relayWhileHeld,
        );
      } catch (error) {
        if (!(error instanceof PlatformError)) throw error;
        onError(error);
        await pause(limits.minRetryMs, stopping.signal);
      }
    }
    status.state = 'stopped';
  }

  async function relayWhileHeld(lease: HeldLease): Promise<void> {
    status.epoch = lease.epoch;
    const connection = createEventStoreConnection(url);
    let retryMs = limits.minRetryMs;
    try {
      while (lease.isHeld() && !lease.signal.aborted) {
        const relayedBefore = status.relayedEvents;
        try {
          await session(connection, lease);
          retryMs = limits.minRetryMs;
        } catch (error) {
          if (error instanceof DamagedEventError || error instanceof RelayRefusedError) {
            await halt(error, lease.signal);
            return;
          }
          onError(error instanceof Error ? error : new Error(String(error)));
          if (error instanceof RelayLeaseLostError) return;
          if (!(error instanceof PlatformError)) throw error;
          if (status.relayedEvents > relayedBefore) retryMs = limits.minRetryMs;
          await pause(retryMs, lease.signal);
          retryMs = Math.min(retryMs * 2, limits.maxRetryMs);
        }
      }
    } finally {
      connection.close();
    }
  }

  /** Keeps the lease, so that health says where the ledger stands, and does nothing more. */
  async function halt(error: Error, signal: AbortSignal): Promise<void> {
    status.state = 'halted';
    status.reason = error.message;
    onHalt(error);
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  }

  /** From the checkpoint, until the subscription ends. */
  async function session(connection: EventStoreConnection, lease: HeldLease): Promise<void> {
    status.state = 'subscribing';
    const start = await readCheckpoint(pool, ledger, limits.writeTimeoutMs);
    status.checkpoint = start;
    const subscription = await subscribeToAll(connection, streamPrefix(ledger), start, limits);
    status.subscriptions += 1;
    const close = (): void => {
      subscription.close();
    };
    lease.signal.addEventListener('abort', close, { once: true });
    try {
      if (!lease.signal.aborted) await relayFrom(subscription, start, lease);
    } finally {
      lease.signal.removeEventListener('abort', close);
      subscription.close();
    }
  }

  async function relayFrom(
    subscription: Subscription,
    start: AllPosition | undefined,
    lease: HeldLease,
  ): Promise<void> {
    /** Of the last event taken: what is not after it was delivered before. */
    let last = start;
    let movedAtMs = 0;
    let isBusy = false;
    /** The beginning of an append. */
    let held: RelayedEvent[] = [];
    for (;;) {
      const delivered = await subscription.next({
        maxEvents: limits.maxBatchEvents,
        maxBytes: limits.maxBatchBytes,
        gatherMs: isBusy ? limits.gatherMs : 0,
      });
      if (delivered === undefined || !lease.isHeld()) return;
      isBusy = delivered.events.length >= MANY_EVENTS;
      status.state = 'relaying';
      const fresh = delivered.events.filter(({ position }) => {
        const isFresh = last === undefined || isAfter(position, last);
        if (isFresh) last = position;
        return isFresh;
      });
      status.duplicatesDropped += delivered.events.length - fresh.length;
      const { events: decoded, damaged } = decode(fresh, held.at(-1));
      // What was appended together comes into the outbox together: the rest of it is on its way.
      const known = [...held, ...decoded];
      const whole = known.findLastIndex(({ more }) => more === 0) + 1;
      const events = known.slice(0, whole);
      held = known.slice(whole);
      const to = events.at(-1)?.position ?? (held.length === 0 ? delivered.upTo : undefined);
      const isDue = events.length > 0 || performance.now() - movedAtMs >= limits.idleCheckpointMs;
      if (to !== undefined && isDue) {
        await write(lease, laterOf(status.checkpoint, to), events);
        movedAtMs = performance.now();
      }
      if (damaged !== undefined) throw damaged;
    }
  }

  /** What comes before a damaged event is relayed. */
  function decode(
    events: readonly StoredEvent[],
    before: RelayedEvent | undefined,
  ): { events: RelayedEvent[]; damaged: DamagedEventError | undefined } {
    const decoded: RelayedEvent[] = [];
    for (const event of events) {
      try {
        const relayed = toRelayedEvent(ledger, event);
        checkWhole(decoded.at(-1) ?? before, relayed);
        decoded.push(relayed);
      } catch (error) {
        if (!(error instanceof DamagedEventError)) throw error;
        return { events: decoded, damaged: error };
      }
    }
    return { events: decoded, damaged: undefined };
  }

  async function write(lease: HeldLease, to: AllPosition, events: readonly RelayedEvent[]): Promise<void> {
    const from = status.checkpoint;
    if (from !== undefined && events.length === 0 && !isAfter(to, from)) return;
    await writeRelayed(pool, { ledger, epoch: lease.epoch, from, to, events, timeoutMs: limits.writeTimeoutMs });
    status.checkpoint = to;
    status.relayedEvents += events.reduce((sum, { row }) => sum + (row === undefined ? 0 : 1), 0);
    status.batches += 1;
  }

  return {
    start() {
      running ??= run().catch((error: unknown) => {
        status.state = 'stopped';
        onFatal(error);
      });
    },
    status: () => ({ ...status }),
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

/** An abort is what ends the pause early, no error. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
