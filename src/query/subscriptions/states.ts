import { MIN_STATE_INTERVAL_MS } from '../limits.js';
import type { ReadModels } from '../ports.js';

/**
 * The positions that a subscription is told about: the present one at once, then the newest whenever the read models have
 * moved. Whoever asks late gets the newest, never a queue of old ones: nothing is kept but the fact that something moved.
 */
export async function* statePositions(
  readModels: ReadModels,
  models: readonly string[],
  signal: AbortSignal,
): AsyncGenerator<bigint, void> {
  const advances = watchAdvances(readModels, signal);
  let told: bigint | undefined;
  while (!signal.aborted) {
    const position = await readModels.reached(models);
    if (told === undefined || position > told) {
      told = position;
      yield position;
      // Gathers a burst of commands into one state.
      await pause(MIN_STATE_INTERVAL_MS, signal);
    } else {
      await advances.next();
    }
  }
}

/** Remembers whether anything moved since it was last asked. */
function watchAdvances(readModels: ReadModels, signal: AbortSignal): { next(): Promise<void> } {
  let moved = false;
  let wake: (() => void) | undefined;
  const notify = (): void => {
    moved = true;
    wake?.();
  };
  const stop = readModels.onAdvanced(notify);
  signal.addEventListener(
    'abort',
    () => {
      stop();
      notify();
    },
    { once: true },
  );
  return {
    next: async () => {
      if (!moved) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      wake = undefined;
      moved = false;
    },
  };
}

async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener('abort', done, { once: true });
  });
}
