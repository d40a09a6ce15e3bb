import { randomBytes, randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { Kafka, logLevel, type KafkaMessage } from 'kafkajs';
import type pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { inject } from 'vitest';
import type { Stack } from '../../scripts/stack/stack.mjs';
import type { CdcTarget } from '../../src/outbox/kafka/cdc-health.js';
import { NO_OBSERVER } from '../../src/outbox/kafka/feed-observer.js';
import { openKafkaSource, type KafkaSource } from '../../src/outbox/kafka/kafka-source.js';
import { createLedgerFeed, type LedgerFeed } from '../../src/outbox/kafka/ledger-feed.js';
import type { LedgerFeedLimits } from '../../src/outbox/kafka/ledger-feed-limits.js';
import { createPostgresOutbox } from '../../src/outbox/postgres-outbox.js';
import { createPool } from '../../src/platform/postgres/pool.js';
import type { RecordedEvent } from '../../src/eventstore/event-store.js';
import { attachStack } from './cdc-stack.js';

export const TOPIC = 'tallystick.outbox';
/** Starting a JVM on a busy machine is the longest thing that is waited for. */
const WAIT_MS = 180_000;

export interface CdcBench {
  stack: Stack;
  pool: pg.Pool;
  target: CdcTarget;
  brokers: string[];
  kafka: Kafka;
  close(): Promise<void>;
}

/** What tests need of the stack of this run. */
export function openBench(): CdcBench {
  const stack = attachStack(inject('stackDir'));
  const env = stack.env();
  const pool = createPool(env['DATABASE_URL'] ?? '', { max: 8 });
  const brokers = [env['KAFKA_BROKERS'] ?? ''];
  return {
    stack,
    pool,
    brokers,
    kafka: new Kafka({
      brokers,
      clientId: 'test',
      logLevel: logLevel.NOTHING,
      retry: { retries: 30, maxRetryTime: 1000 },
    }),
    target: {
      pool,
      slot: 'tallystick',
      publication: 'tallystick',
      connector: 'outbox',
      connectUrl: env['CONNECT_URL'],
      kafka: { brokers, topic: TOPIC, partitions: 12 },
    },
    close: () => pool.end(),
  };
}

export const newLedger = (): string => `t-${randomBytes(6).toString('hex')}`;

/** Appends events, each to a stream of its own, in one transaction by COPY: rows that share an LSN. Returns the head. */
export async function copyEvents(pool: pg.Pool, ledger: string, count: number, data: unknown = {}): Promise<bigint> {
  const client = await pool.connect();
  try {
    const { rows } = await client.query<{ position: bigint }>('SELECT position FROM ledger_head WHERE ledger = $1', [
      ledger,
    ]);
    const head = rows[0]?.position ?? 0n;
    const json = JSON.stringify(data).replaceAll('\\', '\\\\');
    const lines = Array.from({ length: count }, (_, i) => {
      const position = head + BigInt(i) + 1n;
      return `${ledger}\t${position}\t${randomUUID()}\ts-${position}\t0\tAccountOpened\t1\t${json}\t{}\t2026-01-01T00:00:00Z\n`;
    });
    const sql =
      'COPY outbox (ledger, position, id, stream, revision, type, schema_version, data, metadata, recorded_at) FROM STDIN';
    await pipeline(Readable.from([lines.join('')]), client.query(copyFrom(sql)));
    return head + BigInt(count);
  } finally {
    client.release();
  }
}

export interface Counts {
  gaps: number;
  healed: number;
  events: number;
  duplicates: number;
  silent: number;
}

export interface TestFollower {
  source: KafkaSource;
  feed: LedgerFeed;
  counts: Counts;
  seen: readonly RecordedEvent[];
  /** Until it has so many events; then they are exactly the positions from 1 on. */
  until(count: bigint): Promise<void>;
  /** Until its events come from Kafka. */
  fromKafka(): Promise<void>;
  close(): Promise<void>;
}

/** Kafka is not called silent for being slow on a busy machine: for tests in which nothing may be read past it. */
export const PATIENT: Partial<LedgerFeedLimits> = { silentMs: 60_000 };

/** A consumer as the projections are: from the position on, through Kafka, healed from the outbox. */
export async function followLedger(
  bench: CdcBench,
  ledger: string,
  group = `g-${ledger}`,
  feedLimits: Partial<LedgerFeedLimits> = {},
): Promise<TestFollower> {
  const counts: Counts = { gaps: 0, healed: 0, events: 0, duplicates: 0, silent: 0 };
  const observer = {
    ...NO_OBSERVER,
    gapFound: () => (counts.gaps += 1),
    gapHealed: () => (counts.healed += 1),
    eventsHealed: (_: string, count: number) => (counts.events += count),
    duplicatesDropped: (_: string, count: number) => (counts.duplicates += count),
    silent: () => (counts.silent += 1),
  };
  const outbox = createPostgresOutbox({ pool: bench.pool, ledger });
  const feed = createLedgerFeed({ ledger, outbox, observer, limits: feedLimits });
  const limits = { sessionTimeoutMs: 6000, watchMs: 1000 };
  const source = openKafkaSource({ brokers: bench.brokers, topic: TOPIC, partitions: 12, group, observer, limits });
  source.attach(feed);
  const seen: RecordedEvent[] = [];
  const abort = new AbortController();
  let failure: unknown;
  const ended = (async () => {
    for await (const { events } of feed.follow(0n, abort.signal)) seen.push(...events);
  })().catch((error: unknown) => {
    failure = error;
  });
  const waitFor = async (what: string, condition: () => boolean): Promise<void> => {
    const deadline = Date.now() + WAIT_MS;
    while (!condition()) {
      if (failure !== undefined) throw new Error(`${what}: the follower ended`, { cause: failure });
      if (Date.now() > deadline) {
        const states = inspect({ kafka: source.status(), feed: feed.status() }, { breakLength: Infinity });
        throw new Error(`${what}: ${seen.length} events came, ${states}`);
      }
      await sleep(10);
    }
  };
  const follower: TestFollower = {
    source,
    feed,
    counts,
    seen,
    async until(count) {
      await waitFor(`until ${count}`, () => BigInt(seen.length) >= count);
      seen.forEach(({ position }, index) => {
        if (position !== BigInt(index) + 1n) throw new Error(`position ${position} came as number ${index + 1}`);
      });
    },
    fromKafka: () =>
      waitFor('from Kafka', () => feed.status().source === 'kafka' && source.status().state === 'consuming'),
    async close() {
      abort.abort();
      await ended;
      await source.close();
    },
  };
  await follower.fromKafka();
  return follower;
}

/** Messages of a ledger as they lie in the topic, from the beginning, until `enough`. No consumer of ours. */
export async function readTopic(
  bench: CdcBench,
  ledger: string,
  enough: (messages: readonly { partition: number; message: KafkaMessage }[]) => boolean,
): Promise<{ partition: number; message: KafkaMessage }[]> {
  const consumer = bench.kafka.consumer({ groupId: `raw-${randomUUID()}`, maxWaitTimeInMs: 100 });
  const messages: { partition: number; message: KafkaMessage }[] = [];
  try {
    await consumer.connect();
    await consumer.subscribe({ topic: TOPIC, fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachMessage: ({ partition, message }) => {
        if (message.key?.toString() === ledger) messages.push({ partition, message });
        return Promise.resolve();
      },
    });
    const deadline = Date.now() + WAIT_MS;
    while (!enough(messages)) {
      if (Date.now() > deadline) throw new Error(`only ${messages.length} messages of ${ledger} are in the topic`);
      await sleep(20);
    }
    return messages;
  } finally {
    await consumer.disconnect();
  }
}

/** Until something holds that takes as long as it takes. */
export async function eventually(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + WAIT_MS;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`${what}: not after ${WAIT_MS / 1000} s`);
    await sleep(100);
  }
}
