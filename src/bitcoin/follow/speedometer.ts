/** Blocks per second over the last seconds. */
export interface Speedometer {
  count(blocks: number): void;
  perSecond(): number;
}

const WINDOW_MS = 5_000;
/** Appends in the window at most: the oldest are forgotten first. */
const MAX_ENTRIES = 1_000;

/** @param now milliseconds since 1970 */
export function createSpeedometer(now: () => number): Speedometer {
  let entries: { atMs: number; blocks: number }[] = [];
  return {
    count(blocks) {
      entries.push({ atMs: now(), blocks });
      if (entries.length > MAX_ENTRIES) entries = entries.slice(MAX_ENTRIES / 2);
    },
    perSecond() {
      const from = now() - WINDOW_MS;
      const recent = entries.filter(({ atMs }) => atMs > from);
      return recent.reduce((sum, { blocks }) => sum + blocks, 0) / (WINDOW_MS / 1_000);
    },
  };
}
