import { boundedCache } from '../platform/bounded-cache.js';
import { AT_ONCE, type NotBefore } from './next-step.js';

/** Payouts that hints are kept for: some hundred bytes each. What is forgotten is done at once instead of later. */
const MAX_REMEMBERED = 100_000;
/** Payouts woken and not yet looked at. Beyond it the sweep through all open ones finds them. */
const MAX_WOKEN = 100_000;

interface Remembered {
  notBefore: NotBefore;
  failures: Partial<Record<keyof NotBefore, number>>;
}

/**
 * What this process remembers of payouts: hints only. Which payouts want something, and when something is tried again. All of it may be
 * lost: what is open is read from the read models, and then everything is tried at once.
 */
export class Agenda {
  readonly #woken = new Set<string>();
  readonly #remembered = boundedCache<string, Remembered>(MAX_REMEMBERED);
  /** Moments at which payouts wait to be looked at again, by payout. */
  readonly #alarms = boundedCache<string, number>(MAX_REMEMBERED);

  /** Something happened to it: look at it in the next round. */
  wake(payoutId: string): void {
    if (this.#woken.size < MAX_WOKEN) this.#woken.add(payoutId);
  }

  /** Its last transactions may have left the node's mempool, or a tried step may go through now: nothing waits any more. */
  hurry(payoutId: string): void {
    this.#remembered.delete(payoutId);
    this.wake(payoutId);
  }

  alarm(payoutId: string, atMs: number): void {
    this.#alarms.set(payoutId, atMs);
  }

  /** Those woken, and those whose moment has come, at most `limit`. */
  take(nowMs: number, limit: number): string[] {
    const taken: string[] = [];
    for (const payoutId of this.#woken) {
      if (taken.length >= limit) return taken;
      this.#woken.delete(payoutId);
      taken.push(payoutId);
    }
    for (const [payoutId, atMs] of this.#alarms.entries()) {
      if (taken.length >= limit) return taken;
      if (atMs > nowMs) continue;
      this.#alarms.delete(payoutId);
      taken.push(payoutId);
    }
    return taken;
  }

  get hasWoken(): boolean {
    return this.#woken.size > 0;
  }

  notBefore(payoutId: string): NotBefore {
    return this.#remembered.get(payoutId)?.notBefore ?? AT_ONCE;
  }

  /** Failures in a row of one kind of step, this one included. */
  failed(payoutId: string, step: keyof NotBefore): number {
    const remembered = this.#of(payoutId);
    const failures = (remembered.failures[step] ?? 0) + 1;
    remembered.failures[step] = failures;
    return failures;
  }

  succeeded(payoutId: string, step: keyof NotBefore): void {
    const remembered = this.#of(payoutId);
    remembered.failures[step] = 0;
  }

  delay(payoutId: string, step: keyof NotBefore, untilMs: number): void {
    const remembered = this.#of(payoutId);
    remembered.notBefore = { ...remembered.notBefore, [step]: untilMs };
  }

  forget(payoutId: string): void {
    this.#remembered.delete(payoutId);
    this.#alarms.delete(payoutId);
    this.#woken.delete(payoutId);
  }

  #of(payoutId: string): Remembered {
    const known = this.#remembered.get(payoutId);
    if (known !== undefined) return known;
    const fresh: Remembered = { notBefore: AT_ONCE, failures: {} };
    this.#remembered.set(payoutId, fresh);
    return fresh;
  }
}
