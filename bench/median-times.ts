/** Time of one call in milliseconds. */
export function timeMs(work: () => void): number {
  const start = performance.now();
  work();
  return performance.now() - start;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** Calls in a row; the first is not counted, because it pays for the garbage and the caches of the piece before it. */
const CALLS_IN_A_ROW = 3;

/**
 * Median times of several pieces of work in milliseconds. The pieces take turns of a few calls, so that whatever else the
 * machine does meets all of them alike; the first rounds are warm-up and do not count.
 */
export function medianTimesMs<Name extends string>(
  works: Readonly<Record<Name, () => void>>,
  rounds: { warmUp: number; counted: number },
): Record<Name, number> {
  const names = Object.keys(works) as Name[];
  const times = new Map<Name, number[]>(names.map((name) => [name, []]));
  for (let round = 0; round < rounds.warmUp + rounds.counted; round++) {
    for (const name of names) {
      for (let call = 0; call < CALLS_IN_A_ROW; call++) {
        const elapsedMs = timeMs(works[name]);
        if (call > 0 && round >= rounds.warmUp) times.get(name)?.push(elapsedMs);
      }
    }
  }
  return Object.fromEntries(names.map((name) => [name, median(times.get(name) ?? [])])) as Record<Name, number>;
}
