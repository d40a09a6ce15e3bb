import { partitionOfLedger } from '../../src/outbox/kafka/partition-of-ledger.js';
import type { BenchRow } from '../bench-row.js';
import { logLines, writeLines } from '../rebuild-log.js';
import { openPipeline, readCounter, untilProjected, type Pipeline } from './pipeline.js';
import { processorSeconds } from './processor-time.js';

const LEDGERS = 8;
const PARTITIONS = 12;
const PROJECTORS = [1, 2, 4];
const BATCH = 500;

/** Processor time per event, in microseconds. */
interface Costs {
  projectors: number;
  database: number;
  connect: number;
  broker: number;
}

interface Measured {
  perSecond: number;
  costs: Costs;
  healed: number;
}

/**
 * Eight ledgers, each a partition, over one, two and four projectors. Two cores cannot show what more of them would do, so beside the
 * rate that was measured stands what it cost: the processor time of each part per event. From that follows which part is the first that
 * no further projector helps.
 */
export async function runScaleBench({ quick }: { quick: boolean }): Promise<BenchRow[]> {
  const eventsPerLedger = quick ? 3_000 : 25_000;
  const pipeline = await openPipeline();
  try {
    // Warm-up.
    await measure(pipeline, 'warm', 1, 3_000);
    const measured = new Map<number, Measured>();
    for (const projectors of PROJECTORS) {
      measured.set(projectors, await measure(pipeline, `p${projectors}`, projectors, eventsPerLedger));
    }
    const one = measured.get(1);
    if (one === undefined) throw new Error('one projector was measured');
    return [...measured].map(([projectors, { perSecond, costs, healed }]) => ({
      bench: 'scale',
      measure: `${LEDGERS} ledgers of ${eventsPerLedger.toLocaleString('en')} events over ${projectors} projector${projectors === 1 ? '' : 's'}`,
      value: `${thousands(perSecond)} events/s`,
      reference: `one projector: ${thousands(one.perSecond)} events/s`,
      ratio: perSecond / one.perSecond,
      goal: 'stated',
      met: true,
      note:
        `processor time per event: projectors ${costs.projectors.toFixed(0)} µs, PostgreSQL ${costs.database.toFixed(0)}, Connect ${costs.connect.toFixed(0)}, ` +
        `broker ${costs.broker.toFixed(0)}; ${Math.round((100 * healed) / (LEDGERS * eventsPerLedger))} % read from the outbox; ${limitOf(costs, projectors)}`,
    }));
  } finally {
    await pipeline.close();
  }
}

/**
 * What would be reached first if every part had cores enough: a projector is one thread, the connector is one thread whatever is added
 * (one slot, one task), PostgreSQL has a process per connection.
 */
function limitOf({ projectors, connect }: Costs, count: number): string {
  const byProjectors = (count * 1e6) / projectors;
  const byConnect = 1e6 / connect;
  const [limit, what] =
    byProjectors < byConnect ? [byProjectors, `the ${count} projectors`] : [byConnect, 'the connector, which is one'];
  return `with cores enough ${thousands(limit)} events/s, limited by ${what}`;
}

async function measure(pipeline: Pipeline, name: string, projectors: number, events: number): Promise<Measured> {
  const { pool, stack, start } = pipeline;
  const ledgers = ledgersOnPartitionsOfTheirOwn(name);
  const own = { ROLE: 'projector', LEDGER: ledgers.join(','), KAFKA_GROUP: name };
  const processes = await Promise.all(Array.from({ length: projectors }, () => start(own)));
  try {
    await untilProjected(pool, ledgers, 0n);
    await untilSpread(processes.map(({ url }) => url));
    const pidOf = (service: string): number => stack.status().find((each) => each.name === service)?.pid ?? 0;
    const look = (): Costs => ({
      projectors: processes.reduce((sum, { pid }) => sum + processorSeconds(pid), 0),
      database: processorSeconds(pidOf('postgres'), true),
      connect: processorSeconds(pidOf('connect')),
      broker: processorSeconds(pidOf('kafka')),
    });
    const before = look();
    const began = performance.now();
    await Promise.all([write(pool, ledgers, events), untilProjected(pool, ledgers, BigInt(events))]);
    const seconds = (performance.now() - began) / 1000;
    const after = look();
    const total = ledgers.length * events;
    const perEvent = (part: keyof Costs): number => ((after[part] - before[part]) * 1e6) / total;
    const healed = await Promise.all(processes.map(({ url }) => readCounter(url, 'feed_events_healed_total')));
    return {
      perSecond: total / seconds,
      costs: {
        projectors: perEvent('projectors'),
        database: perEvent('database'),
        connect: perEvent('connect'),
        broker: perEvent('broker'),
      },
      healed: healed.reduce((a, b) => a + b, 0),
    };
  } finally {
    await Promise.all(processes.map((each) => each.stop()));
  }
}

/** Names whose keys fall on different partitions, so that as many projectors as there are ledgers could share them. */
function ledgersOnPartitionsOfTheirOwn(name: string): string[] {
  const byPartition = new Map<number, string>();
  for (let n = 0; byPartition.size < LEDGERS; n += 1) {
    const ledger = `${name}-${n}`;
    const partition = partitionOfLedger(ledger, PARTITIONS);
    if (!byPartition.has(partition)) byPartition.set(partition, ledger);
  }
  return [...byPartition.values()];
}

/** Until the group has given each of them its share. */
async function untilSpread(urls: readonly string[]): Promise<void> {
  for (;;) {
    const assigned = await Promise.all(urls.map((url) => readCounter(url, 'kafka_partitions_assigned')));
    if (assigned.every((count) => count >= Math.floor(PARTITIONS / urls.length))) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Each ledger's log, some events of each in turn. */
async function write(pool: Pipeline['pool'], ledgers: readonly string[], events: number): Promise<void> {
  const logs = ledgers.map((ledger) => logLines(ledger, events)[Symbol.iterator]());
  const client = await pool.connect();
  try {
    for (let written = 0; written < events; written += BATCH) {
      for (const log of logs) {
        const lines: string[] = [];
        while (lines.length < Math.min(BATCH, events - written)) lines.push(log.next().value as string);
        await writeLines(client, lines);
      }
    }
  } finally {
    client.release();
  }
}

function thousands(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}
