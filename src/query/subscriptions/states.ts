import { MIN_STATE_INTERVAL_MS } from '../limits.js';
import type { ReadModels } from '../ports.js';

/**
 * When a subscription is to look: at once, then whenever the read models have moved. Whoever asks late is told once, never as
 * often as something moved: nothing is kept but the fact. Also told when none of the models that it reads has moved: that one of
 * them stands still is news too.
 */
export async function* stateTicks(readModels: ReadModels, signal: AbortSignal): AsyncGenerator<void, void> {
  const advances = watchAdvances(readModels, signal);
  while (!signal.aborted) {
    yield;
    // Gathers a burst of commands into one state.
    await pause(MIN_STATE_INTERVAL_MS, signal);
    await advances.next();
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
