import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';

/** One registry per running ledger, so that tests can run several in one process. Names begin with `tallystick_`. */
export interface Metrics {
  registry: Registry;
  /** A gauge whose values are read at the moment of the scrape. */
  observe(
    name: string,
    help: string,
    labelNames: readonly string[],
    read: () => readonly { labels?: Record<string, string>; value: number }[],
  ): void;
  counter(name: string, help: string, labelNames?: readonly string[]): Counter;
  histogram(name: string, help: string, bucketsSeconds: readonly number[], labelNames?: readonly string[]): Histogram;
}

export function createMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, prefix: 'tallystick_' });
  return {
    registry,
    observe: (name, help, labelNames, read) => {
      new Gauge({
        name: `tallystick_${name}`,
        help,
        labelNames: [...labelNames],
        registers: [registry],
        collect() {
          this.reset();
          for (const { labels, value } of read()) this.set(labels ?? {}, value);
        },
      });
    },
    counter: (name, help, labelNames = []) =>
      new Counter({ name: `tallystick_${name}`, help, labelNames: [...labelNames], registers: [registry] }),
    histogram: (name, help, bucketsSeconds, labelNames = []) =>
      new Histogram({
        name: `tallystick_${name}`,
        help,
        buckets: [...bucketsSeconds],
        labelNames: [...labelNames],
        registers: [registry],
      }),
  };
}
