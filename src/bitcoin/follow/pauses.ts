export interface PauseLimits {
  /** The source is asked for its tip at least this often, because wake-ups may be dropped. */
  pollMs: number;
  /** The source is checked anew so often: a node may be pruned, or be another one behind its address, while it is followed. */
  recheckMs: number;
  /** A standby asks so often whether it is its turn: what a change of turns costs. */
  standbyMs: number;
  /** First pause where asking again can help; doubled each time. */
  firstPauseMs: number;
  longestPauseMs: number;
}

export const DEFAULT_PAUSES: Readonly<PauseLimits> = {
  pollMs: 1_000,
  // One batch of three small calls; far less than a node takes to prune what lies a day back.
  recheckMs: 60_000,
  standbyMs: 250,
  firstPauseMs: 200,
  longestPauseMs: 30_000,
};

/** When a follower looks again. */
export interface Pauses {
  /** Something happened: a pause under way ends, and the next one is not made. */
  wake(): void;
  /** What happened until now is being looked at. */
  begin(): void;
  /** Until so much time has passed, something wakes it, or it is to stop. */
  pause(ms: number): Promise<void>;
  /** How long to wait after so many failures in a row. */
  afterFailures(failures: number): number;
}

export function createPauses(
  limits: Readonly<PauseLimits>,
  parts: { random: () => number; signal: AbortSignal; hasWaiters: () => boolean },
): Pauses {
  const { random, signal, hasWaiters } = parts;
  let end: () => void = () => undefined;
  let isWoken = false;
  return {
    wake() {
      isWoken = true;
      end();
    },
    begin: () => {
      isWoken = false;
    },
    async pause(ms) {
      if (isWoken || hasWaiters() || signal.aborted) return;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        end = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      end = () => undefined;
    },
    afterFailures(failures) {
      const longest = Math.min(limits.longestPauseMs, limits.firstPauseMs * 2 ** Math.min(failures - 1, 20));
      return longest * (0.5 + random() / 2);
    },
  };
}
