import type { Logger } from '../platform/logger.js';

/** What was opened, closed in the opposite order: each part before what it stands on. */
export interface Closers {
  add(name: string, close: () => Promise<unknown>): void;
  /** Closes everything, also where one of them fails; the first failure is thrown at the end. */
  closeAll(): Promise<void>;
}

export function createClosers(logger: Logger): Closers {
  const stack: { name: string; close: () => Promise<unknown> }[] = [];
  return {
    add: (name, close) => stack.push({ name, close }),
    closeAll: async () => {
      const failures: unknown[] = [];
      for (let part = stack.pop(); part !== undefined; part = stack.pop()) {
        try {
          await part.close();
        } catch (error) {
          logger.error({ err: error, part: part.name }, 'could not close cleanly');
          failures.push(error);
        }
      }
      if (failures.length > 0) throw failures[0];
    },
  };
}
