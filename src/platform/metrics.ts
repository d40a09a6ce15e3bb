import { Counter, Gauge, Registry, collectDefaultMetrics } from 'prom-client';

/** Values of a gauge at the moment of a scrape. */
export type ReadValues = () => readonly { labels?: Record<string, string>; value: number }[];

/** Metrics of one process, in a registry of its own, so that tests can run several in one process. Names begin with `tallystick_`. */
export interface Metrics {
  /** What one ledger is measured by: the label `ledger` is added to everything. */
  ofLedger(ledger: string): LedgerMetrics;
  /** A counter of the process: one that is of a ledger is asked for by `ofLedger`, or has the label among its own. */
  counter(name: string, help: string, labelNames?: readonly string[]): MeasuredCounter;
  /** Text for Prometheus, and its content type. */
  scrape(): Promise<{ contentType: string; text: string }>;
}

export interface LedgerMetrics {
  /** A gauge whose values are read at each scrape. */
  observe(name: string, help: string, labelNames: readonly string[], read: ReadValues): void;
  counter(name: string, help: string, labelNames?: readonly string[]): MeasuredCounter;
  /** Called before each scrape, for what has to be asked for; the gauges then only report it. */
  beforeScrape(refresh: () => Promise<void>): void;
}

export interface MeasuredCounter {
  inc(labels?: Record<string, string>, by?: number): void;
}

export function createMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, prefix: 'tallystick_' });
  const gauges = new Map<string, { ledger: string; read: ReadValues }[]>();
  const counters = new Map<string, Counter>();
  const refreshers: (() => Promise<void>)[] = [];

  function gaugeReaders(
    name: string,
    help: string,
    labelNames: readonly string[],
  ): { ledger: string; read: ReadValues }[] {
    const known = gauges.get(name);
    if (known !== undefined) return known;
    const readers: { ledger: string; read: ReadValues }[] = [];
    gauges.set(name, readers);
    new Gauge({
      name: `tallystick_${name}`,
      help,
      labelNames: ['ledger', ...labelNames],
      registers: [registry],
      collect() {
        this.reset();
        for (const { ledger, read } of readers) {
          for (const { labels, value } of read()) this.set({ ledger, ...labels }, value);
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

  return {
    ofLedger: (ledger) => ({
      observe: (name, help, labelNames, read) => {
        gaugeReaders(name, help, labelNames).push({ ledger, read });
      },
      counter: (name, help, labelNames = []) => {
        const counter = counterOf(name, help, ['ledger', ...labelNames]);
        // There from the start: a rate over a series that is not there yet misses its first step.
        if (labelNames.length === 0) counter.inc({ ledger }, 0);
        return {
          inc: (labels, by = 1) => {
            counter.inc({ ledger, ...labels }, by);
          },
        };
      },
      beforeScrape: (refresh) => {
        refreshers.push(refresh);
      },
    }),
    counter: (name, help, labelNames = []) => counterOf(name, help, labelNames),
    scrape: async () => {
      await Promise.all(refreshers.map((refresh) => refresh()));
      return { contentType: registry.contentType, text: await registry.metrics() };
    },
  };
}
