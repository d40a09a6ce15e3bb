import { BusyError } from '../../platform/errors.js';
import { MAX_QUEUED_CALLS } from './limits.js';

/** Runs calls one after the other, whatever becomes of the one before. Throws BusyError when too many wait. */
export interface CallQueue {
  run<T>(call: () => Promise<T> | T): Promise<T>;
  /** Resolves when everything that was asked for so far is done. */
  idle(): Promise<void>;
}

export function createCallQueue(): CallQueue {
  let tail: Promise<unknown> = Promise.resolve();
  let waiting = 0;
  return {
    run(call) {
      if (waiting >= MAX_QUEUED_CALLS) {
        return Promise.reject(new BusyError(`More than ${MAX_QUEUED_CALLS} calls wait for the built-in chain.`, 1));
      }
      waiting += 1;
      const result = tail.then(call).finally(() => {
        waiting -= 1;
      });
      // The caller gets the error; the next in the queue only needs to know that it is its turn.
      tail = result.catch(() => undefined);
      return result;
    },
    async idle() {
      await tail;
    },
  };
}

/** Lets other work of the process run. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
