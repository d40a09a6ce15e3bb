import { BusyError } from '../../platform/errors.js';

/** Lets so many requests run at once, and so many more wait for their turn. */
export interface RequestSlots {
  /** @throws BusyError when too many wait */
  run<T>(request: () => Promise<T>): Promise<T>;
}

export function createRequestSlots(running: number, waiting: number): RequestSlots {
  let free = running;
  const queue: (() => void)[] = [];
  return {
    async run(request) {
      if (free === 0) {
        if (queue.length >= waiting) throw new BusyError('Too many requests wait for the Bitcoin node.', 1);
        // The slot is handed over: it never becomes free in between.
        await new Promise<void>((resolve) => queue.push(resolve));
      } else {
        free -= 1;
      }
      try {
        return await request();
      } finally {
        const next = queue.shift();
        if (next) next();
        else free += 1;
      }
    },
  };
}
