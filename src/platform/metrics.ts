import { Counter, Gauge, Registry, collectDefaultMetrics } from 'prom-client';

/** Values of a gauge at the moment of a scrape. */
export type ReadValues = () => readonly { labels?: Record<string, string>; value: number }[];

/** Metrics of one process, in a registry of its own, so that tests can run several in one process. Names begin with `tallystick_`. */
export interface Metrics {
  /** What one ledger is measured by: the label `ledger` is added to everything. */
  ofLedger(ledger: string): LedgerMetrics;
  /** What the process is measured by, whatever its ledgers are. */
  ofProcess(): LedgerMetrics;
  /** A counter of the process: one that is of a ledger is asked for by `ofLedger`, or has the label among its own. */
  counter(name: string, help: string, labelNames?: readonly string[]): MeasuredCounter;
  /** Text for Prometheus, and its content type. */
  scrape(): Promise<{ contentType: string; text: string }>;
}

export interface LedgerMetrics {
  /** A gauge whose values are read at each scrape. */
  observe(name: string, help: string, labelNames: readonly string[], read: ReadValues): void;
  counter(name: string, help: string, labelNames?: readonly string[]): MeasuredCounter;
  /**
   * Called before each scrape, for what has to be asked for; the gauges then only report it. Where asking fails, or takes too long, the
   * scrape is answered all the same: `forget` is called, so that the gauges report nothing rather than what was.
   */
  beforeScrape(refresh: () => Promise<void>, forget: () => void): void;
}

export interface MeasuredCounter {
  inc(labels?: Record<string, string>, by?: number): void;
}

interface GaugeReader {
  own: Readonly<Record<string, string>>;
  read: ReadValues;
}

/** What has not answered by then is left out of the scrape: Prometheus gives up after ten seconds. */
const REFRESH_TIMEOUT_MS = 5_000;

export function createMetrics(options: { refreshTimeoutMs?: number } = {}): Metrics {
  const { refreshTimeoutMs = REFRESH_TIMEOUT_MS } = options;
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, prefix: 'tallystick_' });
  const gauges = new Map<string, GaugeReader[]>();
  const counters = new Map<string, Counter>();
  const refreshers: { refresh: () => Promise<void>; forget: () => void }[] = [];
  const failures = measuredBy({}).counter(
    'scrape_failures_total',
    'Times that something could not be asked for a scrape, and was left out of it: the database was away, or slow.',
  );

  function gaugeReaders(name: string, help: string, labelNames: readonly string[]): GaugeReader[] {
    const known = gauges.get(name);
    if (known !== undefined) return known;
    const readers: GaugeReader[] = [];
    gauges.set(name, readers);
    new Gauge({
      name: `tallystick_${name}`,
      help,
      labelNames: [...labelNames],
      registers: [registry],
      collect() {
        this.reset();
        for (const { own, read } of readers) {
          for (const { labels, value } of read()) this.set({ ...own, ...labels }, value);
        }
      },
    });
    return readers;
  }

  function counterOf(name: string, help: string, labelNames: readonly string[]): MeasuredCounter {
    let counter = counters.get(name);
    if (counter === undefined) {
      const registers = [registry];
      counter = new Counter({ name: `tallystick_${name}`, help, labelNames: [...labelNames], registers });
      counters.set(name, counter);
    }
    const known = counter;
    return {
      inc: (labels = {}, by = 1) => {
        known.inc(labels, by);
      },
    };
  }

  /** @param own labels that everything has */
  function measuredBy(own: Readonly<Record<string, string>>): LedgerMetrics {
    const withOwn = (labelNames: readonly string[]): string[] => [...Object.keys(own), ...labelNames];
    return {
      observe: (name, help, labelNames, read) => {
        gaugeReaders(name, help, withOwn(labelNames)).push({ own, read });
      },
      counter: (name, help, labelNames = []) => {
        const counter = counterOf(name, help, withOwn(labelNames));
        // There from the start: a rate over a series that is not there yet misses its first step.
        if (labelNames.length === 0) counter.inc(own, 0);
        return {
          inc: (labels, by = 1) => {
            counter.inc({ ...own, ...labels }, by);
          },
        };
      },
      beforeScrape: (refresh, forget) => {
        refreshers.push({ refresh, forget });
      },
    };
  }

  return {
    ofLedger: (ledger) => measuredBy({ ledger }),
    ofProcess: () => measuredBy({}),
    counter: (name, help, labelNames = []) => counterOf(name, help, labelNames),
    scrape: async () => {
      await Promise.all(
        refreshers.map(async ({ refresh, forget }) => {
          try {
            await within(refreshTimeoutMs, refresh());
          } catch {
            // Told by the counter: whoever scrapes is the one to tell.
            failures.inc();
            forget();
          }
        }),
      );
      return { contentType: registry.contentType, text: await registry.metrics() };
    },
  };
}

async function within(ms: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`not answered within ${ms} ms`));
    }, ms);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
