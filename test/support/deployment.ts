import { readFileSync } from 'node:fs';
import { createLedgerClient } from './ledger-client.js';
import { startLedgerProcess, type LedgerProcess } from './ledger-process.js';

/** Wait before a process that ended is started again, as a supervisor does. */
const RESTART_MS = 200;

/** What a process has counted, added up over all its lives. */
type Counts = Map<string, number>;

export interface Service {
  readonly name: string;
  /** Where it listens now. */
  url: () => string;
  pid: () => number;
  /** Ends it; it is started again at once. */
  end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void>;
  /** Stops it where it is, as a machine that hangs, and lets it go on. */
  pause(): void;
  resume(): void;
  /** Times that it was started. */
  starts(): number;
}

export interface Deployment {
  service(name: string): Service;
  /** Starts one more. */
  add(name: string, environment: Record<string, string>): Promise<Service>;
  /** Ends one with SIGTERM; it is not started again. What it has counted stays in the totals. */
  remove(name: string): Promise<void>;
  /** Waits until each process answers that it lives. */
  allLive(): Promise<void>;
  /** Looks at the metrics of all processes and keeps what has to be added up when one of them ends. */
  sample(): Promise<void>;
  /** The sum of a counter over all processes and their lives, as of the samples. */
  total(metric: string): number;
  /** Most memory that each process has had, in MiB, over its lives. */
  peakMemoryMiB(): Record<string, number>;
  /** What the processes have printed. */
  output(): string;
  close(): Promise<void>;
}

/**
 * Processes of the real binary, each with its roles, started again whenever they end: what an orchestrator does.
 *
 * @param services environment of each by name, over `shared`
 */
export async function startDeployment(
  shared: Record<string, string>,
  services: Record<string, Record<string, string>>,
): Promise<Deployment> {
  const started = await Promise.allSettled(
    Object.entries(services).map(([name, environment]) => supervise(name, { ...shared, ...environment })),
  );
  const supervised = started.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  const failed = started.find((each) => each.status === 'rejected');
  if (failed !== undefined) {
    // What did start does not outlive the test.
    await Promise.all(supervised.map(({ close }) => close()));
    throw failed.reason;
  }
  const byName = new Map(supervised.map((each) => [each.name, each]));
  return {
    add: async (name, environment) => {
      const added = await supervise(name, { ...shared, ...environment });
      byName.set(name, added);
      supervised.push(added);
      return added;
    },
    remove: async (name) => {
      await byName.get(name)?.remove();
    },
    service: (name) => {
      const found = byName.get(name);
      if (found === undefined) throw new Error(`no service ${name}`);
      return found;
    },
    allLive: async () => {
      for (const { url } of supervised) {
        for (;;) {
          const answer = await createLedgerClient(url())
            .get('/health/live')
            .catch(() => undefined);
          if (answer?.status === 200) break;
          await pause(50);
        }
      }
    },
    sample: async () => {
      await Promise.all(supervised.map((each) => each.sample()));
    },
    total: (metric) => supervised.reduce((sum, { counted }) => sum + (counted().get(metric) ?? 0), 0),
    peakMemoryMiB: () => Object.fromEntries(supervised.map(({ name, peakMiB }) => [name, peakMiB()])),
    output: () => supervised.map(({ name, output }) => `--- ${name}\n${output()}`).join('\n'),
    close: async () => {
      await Promise.all(supervised.map(({ close }) => close()));
    },
  };
}

interface Supervised extends Service {
  sample: () => Promise<void>;
  counted: () => Counts;
  peakMiB: () => number;
  output: () => string;
  remove: () => Promise<void>;
  close: () => Promise<void>;
}

async function supervise(name: string, environment: Record<string, string>): Promise<Supervised> {
  let current: LedgerProcess = await startLedgerProcess(environment);
  let starts = 1;
  let closing = false;
  let printed = '';
  let peak = 0;
  /** Of lives that are over, and of this one. */
  let before: Counts = new Map();
  let now: Counts = new Map();

  function lookAtMemory(): void {
    peak = Math.max(peak, peakOf(current.pid));
  }

  const watching = (async () => {
    for (;;) {
      await current.exited;
      printed += current.output();
      before = add(before, now);
      now = new Map();
      // Its database may be away: then it ends again, and is started again.
      for (;;) {
        if (isClosing()) return;
        await pause(RESTART_MS);
        try {
          current = await startLedgerProcess(environment);
          starts += 1;
          break;
        } catch (error) {
          printed += String(error);
        }
      }
    }
  })();

  function isClosing(): boolean {
    return closing;
  }

  const sample = async (): Promise<void> => {
    lookAtMemory();
    const { pid, url } = current;
    const answer = await createLedgerClient(url)
      .get('/metrics')
      .catch(() => undefined);
    // Of another life by now: the sample before it counts.
    if (answer?.status === 200 && pid === current.pid) now = readCounters(String(answer.body['text']));
  };

  return {
    name,
    url: () => current.url,
    pid: () => current.pid,
    starts: () => starts,
    output: () => printed + current.output(),
    async end(signal) {
      await sample();
      const { pid, exited } = current;
      process.kill(pid, signal);
      await exited;
    },
    pause: () => {
      process.kill(current.pid, 'SIGSTOP');
    },
    resume: () => {
      process.kill(current.pid, 'SIGCONT');
    },
    sample,
    counted: () => add(before, now),
    peakMiB: () => peak,
    async remove() {
      await sample();
      closing = true;
      process.kill(current.pid, 'SIGTERM');
      await watching;
    },
    async close() {
      closing = true;
      lookAtMemory();
      await current.kill();
      await watching;
      // One that was about to be started when this was called.
      await current.kill();
    },
  };
}

/** Counters of a scrape, summed over their labels. */
function readCounters(text: string): Counts {
  const counts: Counts = new Map();
  for (const line of text.split('\n')) {
    const match = /^tallystick_(\w+)(?:\{[^}]*\})? (\S+)$/.exec(line);
    if (match?.[1] === undefined) continue;
    counts.set(match[1], (counts.get(match[1]) ?? 0) + Number(match[2]));
  }
  return counts;
}

function add(a: Counts, b: Counts): Counts {
  const sum = new Map(a);
  for (const [name, value] of b) sum.set(name, (sum.get(name) ?? 0) + value);
  return sum;
}

/** Most that was resident so far (Linux). */
function peakOf(pid: number): number {
  try {
    const match = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    return Math.round(Number(match?.[1] ?? 0) / 1024);
  } catch {
    // It has ended meanwhile.
    return 0;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
