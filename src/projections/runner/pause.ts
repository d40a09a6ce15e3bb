import { setTimeout as sleep } from 'node:timers/promises';

/** Waits, or less where the signal aborts. */
export async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  // An abort is what ends the pause early, no error.
  await sleep(milliseconds, undefined, { signal }).catch(() => undefined);
}
