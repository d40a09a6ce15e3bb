import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { runOwned, type RunOwned } from './run-owned.js';

/** A source whose group gives out ledgers by hand. */
function testSource() {
  let owned: Set<string> | undefined;
  const listeners = new Set<() => void>();
  return {
    give: (...ledgers: string[]): void => {
      owned = new Set(ledgers);
      for (const listener of listeners) listener();
    },
    source: {
      owns: (ledger: string) => owned?.has(ledger),
      onAssignment(listener: () => void) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
    listeners,
  };
}

const open: RunOwned[] = [];
afterEach(async () => {
  for (const tasks of open.splice(0)) await tasks.close();
});

function stage(options: { withoutGroupMs?: number; stopMs?: number; fails?: boolean; retryMs?: number } = {}) {
  const given = testSource();
  const log: string[] = [];
  const tasks = runOwned({
    source: given.source,
    ledgers: ['a', 'b', 'c'],
    withoutGroupMs: options.withoutGroupMs ?? 60_000,
    retryMs: options.retryMs ?? 60_000,
    onError: (ledger, error) => log.push(`${ledger}: ${(error as Error).message}`),
    run: async (ledger, signal) => {
      log.push(`+${ledger}`);
      if (options.fails === true) throw new Error('failed');
      await new Promise((resolve) => {
        signal.addEventListener('abort', resolve);
      });
      await sleep(options.stopMs ?? 0);
      log.push(`-${ledger}`);
    },
  });
  open.push(tasks);
  return { ...given, tasks, log };
}

const quiet = (): Promise<void> => sleep(20);

describe('work for the ledgers that a process owns', () => {
  it('begins when a ledger is given, ends when it is taken away', async () => {
    const { give, tasks, log } = stage();
    expect(tasks.running()).toEqual([]);
    give('a', 'b');
    expect(tasks.running()).toEqual(['a', 'b']);
    give('b', 'c');
    await quiet();
    expect(log).toEqual(['+a', '+b', '+c', '-a']);
    expect(tasks.running()).toEqual(['b', 'c']);
  });

  it('does not begin again before it has ended, when a ledger comes back while it stops', async () => {
    const { give, log, tasks } = stage({ stopMs: 10 });
    give('a');
    give();
    give('a');
    expect(log).toEqual(['+a']);
    await sleep(40);
    expect(log).toEqual(['+a', '-a', '+a']);
    expect(tasks.running()).toEqual(['a']);
  });

  it('is for all ledgers where there is no group for long: the outbox can be read without Kafka', async () => {
    const { give, tasks } = stage({ withoutGroupMs: 5 });
    await quiet();
    expect(tasks.running()).toEqual(['a', 'b', 'c']);
    give('b');
    await quiet();
    expect(tasks.running()).toEqual(['b']);
  });

  it('tells what failed, and begins again after a while, unless the ledger has gone elsewhere', async () => {
    const { give, tasks, log } = stage({ fails: true, retryMs: 30 });
    give('a');
    await quiet();
    expect(log).toEqual(['+a', 'a: failed']);
    expect(tasks.running()).toEqual([]);
    while (log.length < 4) await sleep(5);
    expect(log).toEqual(['+a', 'a: failed', '+a', 'a: failed']);
    give();
    await sleep(50);
    expect(log).toHaveLength(4);
  });

  it('has ended when it is closed, and nothing begins after', async () => {
    const { give, tasks, log, listeners } = stage({ stopMs: 5 });
    give('a', 'b');
    await tasks.close();
    expect(log).toEqual(['+a', '+b', '-a', '-b']);
    give('c');
    expect(tasks.running()).toEqual([]);
    expect(listeners.size).toBe(0);
  });
});
