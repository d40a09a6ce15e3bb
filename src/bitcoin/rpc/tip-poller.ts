import type { Timers } from './timers.js';

const FAILING = 'failing';

/**
 * Asks for the tip again and again and calls back when it is another one, and also when asking begins to fail or works
 * again: whoever is woken asks the source and so meets the trouble in person.
 */
export interface TipPoller {
  onWake(callback: () => void): () => void;
  stop(): void;
}

export function createTipPoller(askTip: () => Promise<string>, intervalMs: number, timers: Timers): TipPoller {
  const callbacks = new Set<() => void>();
  let stopTimer: (() => void) | undefined;
  let stopped = false;
  /** A hash, or FAILING, or undefined before the first answer. */
  let last: string | undefined;

  async function poll(): Promise<void> {
    stopTimer = undefined;
    const seen = await askTip().catch(() => FAILING);
    if (stopped || callbacks.size === 0) return;
    schedule();
    const changed = last === undefined ? seen === FAILING : seen !== last;
    last = seen;
    if (changed) for (const callback of [...callbacks]) callback();
  }

  function schedule(): void {
    stopTimer ??= timers.after(intervalMs, () => void poll());
  }

  return {
    onWake(callback) {
      const own = (): void => callback();
      if (stopped) return () => undefined;
      callbacks.add(own);
      schedule();
      return () => {
        callbacks.delete(own);
        if (callbacks.size > 0) return;
        stopTimer?.();
        stopTimer = undefined;
      };
    },
    stop() {
      stopped = true;
      callbacks.clear();
      stopTimer?.();
    },
  };
}
