import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { BenchRow } from '../bench-row.js';
import { median } from '../median-times.js';
import { fillLog } from '../rebuild-log.js';
import { openPipeline, readCounter, untilFromKafka, untilProjected, type Pipeline } from './pipeline.js';

const GOAL = 0.8;
/** Events in a transaction: as many as a busy ledger commits together. */
const BATCH = 1000;

/**
 * Events from the first commit into the outbox to the last one in the read models, through Debezium and Kafka, against the same pipeline with
 * a consumer that only counts. They take turns, each on a ledger of its own; whoever is measured is alone on the topic.
 */
export async function runCdcThroughputBench({ quick }: { quick: boolean }): Promise<BenchRow[]> {
  const events = quick ? 20_000 : 200_000;
  const rounds = quick ? 1 : 3;
  const pipeline = await openPipeline();
  try {
    const counted: number[] = [];
    const projected: number[] = [];
    let fromOutbox = 0;
    // The first round, with fewer events, is warm-up.
    for (let round = 0; round <= rounds; round += 1) {
      const size = round === 0 ? Math.min(events, 20_000) : events;
      const count = size / (await timeCounting(pipeline, `count-${round}`, size));
      const { seconds, healed } = await timeProjecting(pipeline, `project-${round}`, size);
      if (round === 0) continue;
      counted.push(count);
      projected.push(size / seconds);
      fromOutbox += healed;
    }
    const ratio = median(projected.map((value, round) => value / (counted[round] ?? NaN)));
    return [
      {
        bench: 'cdc throughput',
        measure: `${events.toLocaleString('en')} events from the outbox into all read models, through Debezium and Kafka`,
        value: `${thousands(median(projected))} events/s`,
        reference: `${thousands(median(counted))} events/s to a consumer that only counts`,
        ratio,
        goal: `≥ ${GOAL}`,
        met: ratio >= GOAL,
        note: `median of ${rounds} rounds, ${BATCH} events in a transaction; ${Math.round((100 * fromOutbox) / (events * rounds))} % of the events were read from the outbox because Kafka was behind`,
      },
    ];
  } finally {
    await pipeline.close();
  }
}

async function timeCounting({ brokers, topic, pool }: Pipeline, ledger: string, events: number): Promise<number> {
  const program = fileURLToPath(new URL('./counting-consumer.js', import.meta.url));
  const consumer = fork(program, [brokers, topic, ledger]);
  try {
    await told(consumer, 'joined');
    const start = performance.now();
    const filling = fill(pool, ledger, events);
    consumer.send(events);
    await told(consumer, 'counted');
    await filling;
    return (performance.now() - start) / 1000;
  } finally {
    consumer.disconnect();
  }
}

async function timeProjecting(
  { start: startProcess, pool }: Pipeline,
  ledger: string,
  events: number,
): Promise<{ seconds: number; healed: number }> {
  const projector = await startProcess({ ROLE: 'projector', LEDGER: ledger, KAFKA_GROUP: ledger });
  try {
    await untilProjected(pool, [ledger], 0n);
    await untilFromKafka(projector.url);
    const start = performance.now();
    const filling = fill(pool, ledger, events);
    await untilProjected(pool, [ledger], BigInt(events));
    await filling;
    const seconds = (performance.now() - start) / 1000;
    return { seconds, healed: await readCounter(projector.url, 'feed_events_healed_total') };
  } finally {
    await projector.stop();
  }
}

async function fill(pool: Pipeline['pool'], ledger: string, events: number): Promise<void> {
  const client = await pool.connect();
  try {
    await fillLog(client, ledger, events, BATCH);
  } finally {
    client.release();
  }
}

function told(consumer: ChildProcess, what: string): Promise<void> {
  return new Promise((resolve, reject) => {
    consumer.on('message', (message: object) => {
      if (what in message) resolve();
    });
    consumer.once('exit', (code) => {
      reject(new Error(`the counting consumer ended with ${String(code)}`));
    });
  });
}

function thousands(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}
