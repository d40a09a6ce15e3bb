import { RetryableError } from '../../platform/errors.js';
import type { KafkaSource } from './kafka-source.js';

/**
 * How long a process waits for the group before it works for every ledger: without Kafka the outbox is read all the same, and
 * a checkpoint can be moved by one process only.
 */
const WITHOUT_GROUP_MS = 15_000;

/** Wait before work that failed is begun again. */
const RETRY_MS = 1_000;

export interface RunOwnedOptions {
  source: Pick<KafkaSource, 'owns' | 'onAssignment'>;
  ledgers: readonly string[];
  /** Works for a ledger until the signal aborts. Where it throws, `onError` is told, and it is tried again after a while. */
  run: (ledger: string, signal: AbortSignal) => Promise<void>;
  onError: (ledger: string, error: unknown) => void;
  withoutGroupMs?: number;
  retryMs?: number;
}

export interface RunOwned {
  running(): readonly string[];
  /** Stops all and waits for them. */
  close(): Promise<void>;
}

interface Task {
  abort: AbortController;
  ended: Promise<void>;
}

/** Runs something for each ledger whose partition the group has given to this process: when it is taken away, it is stopped. */
export function runOwned(options: RunOwnedOptions): RunOwned {
  const { source, ledgers, run, onError } = options;
  const tasks = new Map<string, Task>();
  const retries = new Set<NodeJS.Timeout>();
  let alone = false;
  let closing = false;

  function adjust(): void {
    if (closing) return;
    for (const ledger of ledgers) {
      const wanted = source.owns(ledger) ?? alone;
      const task = tasks.get(ledger);
      if (!wanted) task?.abort.abort();
      else if (task === undefined) start(ledger);
    }
  }

  function start(ledger: string): void {
    const abort = new AbortController();
    let failed = false;
    const ended = run(ledger, abort.signal)
      .catch((error: unknown) => {
        failed = true;
        onError(ledger, error);
      })
      .finally(() => {
        tasks.delete(ledger);
        // Given back to us while it was stopping.
        if (abort.signal.aborted) adjust();
        else if (failed) retryLater();
      });
    tasks.set(ledger, { abort, ended });
  }

  function retryLater(): void {
    const timer = setTimeout(() => {
      retries.delete(timer);
      adjust();
    }, options.retryMs ?? RETRY_MS);
    retries.add(timer);
  }

  const off = source.onAssignment(adjust);
  const timer = setTimeout(() => {
    alone = true;
    adjust();
  }, options.withoutGroupMs ?? WITHOUT_GROUP_MS);
  adjust();

  return {
    running: () => [...tasks.keys()],
    async close() {
      closing = true;
      off();
      clearTimeout(timer);
      for (const retry of retries) clearTimeout(retry);
      for (const { abort } of tasks.values()) abort.abort(new RetryableError('stopping'));
      await Promise.all([...tasks.values()].map(({ ended }) => ended));
    },
  };
}
