import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';

/** Long enough for a slow renewal, short enough that a standby takes over within seconds. */
export const LEASE_TTL_MS = 3000;
/** Renewed so many times within its life: two renewals may be lost. */
const RENEWALS_PER_TTL = 3;
/** A holder stops so long before the lease runs out: what it does last must not be done after that. */
const SAFETY_PER_TTL = 10;
/** How often a standby asks at most, and at least: a released lease is taken within this time. */
const MIN_POLL_MS = 50;
const MAX_POLL_MS = 250;

export interface LeaseOptions {
  pool: pg.Pool;
  ledger: string;
  /** `relay`, `follower`, `workflow`. */
  role: string;
  ttlMs?: number;
  /** Milliseconds that only grow, as of `performance.now()`. */
  monotonicMs?: () => number;
  holder?: string;
  /** Called each time the lease was asked for in vain. */
  standingBy?: () => void;
  /** Told of failures that it gets over by itself: a database that is away. */
  onError?: (error: Error) => void;
}

/** A lease that is held. */
export interface HeldLease {
  /** The fencing token: whoever takes the lease after us gets a higher one. */
  readonly epoch: bigint;
  /** Aborts before the lease runs out without having been renewed, when it was taken over, and when the work is to end. */
  readonly signal: AbortSignal;
  /** Whether it is still ours by our own clock, at this moment: also after the process was stopped for a while. */
  isHeld(): boolean;
}

interface Answer {
  held: boolean;
  epoch: bigint;
  expires_in_ms: number;
}

/**
 * Waits for the lease, runs `work` while it is held, gives it back. When the lease is lost, the signal given to `work` aborts, and
 * after `work` has ended this waits for the lease again; returns when `work` returns while the lease is held, or when `signal` aborts.
 *
 * A holder counts its time from before the request was sent, by a monotonic clock, so that neither the way to the database nor a
 * changed clock makes it longer. A process that was stopped for a while may still take one step after its time: what writes under a
 * lease must check its epoch where it writes, or be decided otherwise.
 *
 * @throws what `work` throws while the lease is held; failures of the database are told to `onError`, and waited for
 */
export async function withLease(
  options: LeaseOptions,
  signal: AbortSignal,
  work: (lease: HeldLease) => Promise<void>,
): Promise<void> {
  const { pool, ledger, role, ttlMs = LEASE_TTL_MS, monotonicMs = () => performance.now() } = options;
  const { holder = randomUUID(), standingBy = () => undefined, onError = () => undefined } = options;

  /** Undefined: the database did not answer. */
  async function ask(timeoutMs: number): Promise<(Answer & { untilMs: number }) | undefined> {
    const askedAtMs = monotonicMs();
    try {
      const query: pg.QueryConfig & { query_timeout: number } = {
        name: 'acquire-lease',
        text: 'SELECT * FROM acquire_lease($1, $2, $3, $4)',
        values: [ledger, role, holder, ttlMs],
        query_timeout: Math.max(1, Math.ceil(timeoutMs)),
      };
      const { rows } = await pool.query<Answer>(query);
      const row = rows[0];
      return row && { ...row, untilMs: askedAtMs + ttlMs - ttlMs / SAFETY_PER_TTL };
    } catch (error) {
      onError(error instanceof Error ? error : new Error(String(error)));
      return undefined;
    }
  }

  async function release(epoch: bigint): Promise<void> {
    try {
      const query: pg.QueryConfig & { query_timeout: number } = {
        text: 'SELECT release_lease($1, $2, $3, $4)',
        values: [ledger, role, holder, epoch],
        // After that it has run out anyway.
        query_timeout: ttlMs,
      };
      await pool.query(query);
    } catch (error) {
      // It runs out by itself.
      onError(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** @returns whether it was still held when the work ended */
  async function hold(epoch: bigint, firstUntilMs: number): Promise<boolean> {
    let untilMs = firstUntilMs;
    const lost = new AbortController();
    const done = new AbortController();
    const isHeld = (): boolean => !lost.signal.aborted && monotonicMs() < untilMs;
    const renewing = (async () => {
      let waitMs = ttlMs / RENEWALS_PER_TTL;
      while (!done.signal.aborted && !lost.signal.aborted) {
        await pause(Math.min(waitMs, Math.max(0, untilMs - monotonicMs())), done.signal);
        if (isAborted(done.signal)) return;
        if (monotonicMs() >= untilMs) break;
        const answer = await ask(untilMs - monotonicMs());
        if (answer !== undefined && (!answer.held || answer.epoch !== epoch)) break;
        if (answer !== undefined) untilMs = answer.untilMs;
        waitMs = answer === undefined ? MIN_POLL_MS : ttlMs / RENEWALS_PER_TTL;
        // Answered too late: what counts is when it was asked.
        if (monotonicMs() >= untilMs) break;
      }
      lost.abort();
    })();
    try {
      await work({ epoch, isHeld, signal: AbortSignal.any([signal, lost.signal]) });
      return isHeld();
    } catch (error) {
      if (isHeld() && !signal.aborted) throw error;
      // Ended by the loss of the lease.
      onError(error instanceof Error ? error : new Error(String(error)));
      return false;
    } finally {
      done.abort();
      await renewing;
      await release(epoch);
    }
  }

  while (!signal.aborted) {
    const answer = await ask(ttlMs);
    if (answer?.held === true && monotonicMs() < answer.untilMs) {
      if (await hold(answer.epoch, answer.untilMs)) return;
      continue;
    }
    standingBy();
    await pause(Math.min(MAX_POLL_MS, Math.max(MIN_POLL_MS, answer?.expires_in_ms ?? MAX_POLL_MS)), signal);
  }
}

/** An abort is what ends the pause early, no error. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}

function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}
