import { EventEmitter, once } from 'node:events';
import { rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { checkCdc, type CdcFinding } from '../../../src/outbox/kafka/cdc-health.js';
import { repairCdc } from '../../../src/outbox/kafka/cdc-repair.js';
import { createConnectApi } from '../../../src/outbox/kafka/connect-api.js';
import {
  copyEvents,
  eventually,
  followLedger,
  newLedger,
  openBench,
  PATIENT,
  readTopic,
  TOPIC,
  type CdcBench,
  type TestFollower,
} from '../../support/cdc-ledger.js';

let bench: CdcBench;
let ledger: string;
let follower: TestFollower;

beforeAll(() => {
  bench = openBench();
});
afterAll(() => bench.close());

/** Each test begins with a stack that streams, and a consumer that gets its events from Kafka. */
beforeEach(async () => {
  await eventually('the connector streams', streams);
  ledger = newLedger();
  follower = await followLedger(bench, ledger);
  await follower.until(await copyEvents(bench.pool, ledger, 10));
  await expectKafka();
});
afterEach(async () => {
  await follower.close();
});

async function streams(): Promise<boolean> {
  try {
    await bench.stack.expectStreaming();
    return true;
  } catch {
    // That is the answer.
    return false;
  }
}

/** Starts Connect with a connector that cannot stream yet. Resolves when it is registered, with what waits until it streams. */
async function startConnect(): Promise<() => Promise<void>> {
  const ready = bench.stack.start('connect');
  // Awaited later: it may fail before.
  ready.catch(() => undefined);
  const api = createConnectApi(bench.target.connectUrl ?? '', bench.target.connector);
  await eventually('the connector is registered', () =>
    api.status().then(
      (status) => status !== undefined,
      () => false,
    ),
  );
  return () => ready;
}

const wrong = (findings: readonly CdcFinding[]): string[] =>
  findings.filter(({ state }) => state === 'wrong').map(({ part }) => part);

/** Who was told of its silence hears only of the next event whether it delivers again. */
async function expectKafka(): Promise<void> {
  await eventually('Kafka delivers', async () => {
    if (follower.feed.status().source === 'kafka') return true;
    await follower.until(await copyEvents(bench.pool, ledger, 1));
    return false;
  });
}

/** An event committed now comes by Kafka, not from the outbox. */
async function expectKafkaAgain(): Promise<void> {
  await follower.until(await copyEvents(bench.pool, ledger, 1));
  await expectKafka();
  const { events } = follower.counts;
  await follower.until(await copyEvents(bench.pool, ledger, 5));
  expect(follower.counts.events).toBe(events);
}

it('rows that share a place in the WAL all come when Connect is stopped in the middle of them', async () => {
  let stop = false;
  const writer = (async () => {
    let head = 0n;
    while (!stop) {
      head = await copyEvents(bench.pool, ledger, 300);
      // Faster than the connector, and not so much that the test takes minutes to drain.
      await sleep(50);
    }
    return head;
  })();
  for (let round = 0; round < 2; round += 1) {
    await sleep(700);
    await bench.stack.stop('connect', 'SIGTERM');
    await sleep(200);
    await bench.stack.start('connect');
  }
  stop = true;
  const head = await writer;
  await follower.until(head);
  // Kafka itself has them all: nothing had to be healed for Debezium's sake.
  const positions = new Set<string>();
  await readTopic(bench, ledger, (messages) => {
    for (const { message } of messages.slice(positions.size))
      positions.add(message.headers?.['position']?.toString() ?? '');
    for (const { message } of messages) positions.add(message.headers?.['position']?.toString() ?? '');
    return positions.size >= Number(head);
  });
  expect(positions.size).toBe(Number(head));
  await expectKafkaAgain();
  process.stdout.write(`COPY and SIGTERM: ${head} events, ${JSON.stringify(follower.counts)}\n`);
});

it('a slot that was dropped is told, repaired by one command, and what was missed is healed', async () => {
  await bench.stack.stop('connect', 'SIGTERM');
  await bench.pool.query(`SELECT pg_drop_replication_slot('tallystick')`);
  const head = await copyEvents(bench.pool, ledger, 50);
  await follower.until(head);
  expect(wrong(await checkCdc(bench.target))).toEqual(['slot', 'connector']);
  // Offsets that lie ahead of a new slot: the connector refuses, loudly.
  const starting = await startConnect();
  await eventually('something is wrong', async () => wrong(await checkCdc(bench.target)).length > 0);
  const steps: string[] = [];
  expect(await repairCdc(bench.target, { onStep: (line) => steps.push(line) })).toBe(true);
  await starting();
  expect(steps.at(-1)).toContain('streams');
  expect(wrong(await checkCdc(bench.target))).toEqual([]);
  await expectKafkaAgain();
  expect(await repairCdc(bench.target)).toBe(false);
});

it('a slot that was invalidated is told although Connect says RUNNING, and is repaired', async () => {
  await bench.stack.stop('connect', 'SIGTERM');
  await eventually('the slot is invalidated', async () => {
    await bench.pool.query(
      `SELECT pg_logical_emit_message(false, 'filling', repeat('x', 1000000)) FROM generate_series(1, 20)`,
    );
    await bench.pool.query('SELECT pg_switch_wal()');
    await bench.pool.query('CHECKPOINT');
    const { rows } = await bench.pool.query<{ wal_status: string }>(
      `SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'tallystick'`,
    );
    return rows[0]?.wal_status === 'lost';
  });
  await copyEvents(bench.pool, ledger, 30);
  const starting = await startConnect();
  const findings = await checkCdc(bench.target);
  expect(findings.find(({ part }) => part === 'slot')).toMatchObject({
    state: 'wrong',
    detail: expect.stringContaining('invalidated') as string,
    remedy: expect.stringContaining('tallystick cdc repair') as string,
  });
  expect(await repairCdc(bench.target)).toBe(true);
  await starting();
  expect(wrong(await checkCdc(bench.target))).toEqual([]);
  await expectKafkaAgain();
});

it('a topic that is deleted under a running connector is made again, and everything comes', async () => {
  const admin = bench.kafka.admin();
  await admin.connect();
  try {
    await admin.deleteTopics({ topics: [TOPIC] });
  } finally {
    await admin.disconnect();
  }
  const head = await copyEvents(bench.pool, ledger, 40);
  await follower.until(head);
  await eventually('the topic is there', async () => !wrong(await checkCdc(bench.target)).includes('topic'));
  await expectKafkaAgain();
});

it('what passed its retention before it was read is read from the outbox; so is everything for who begins late', async () => {
  await follower.close();
  const head = await copyEvents(bench.pool, ledger, 60);
  await readTopic(bench, ledger, (messages) => messages.length >= Number(head));
  const admin = bench.kafka.admin();
  await admin.connect();
  try {
    const offsets = await admin.fetchTopicOffsets(TOPIC);
    await admin.deleteTopicRecords({
      topic: TOPIC,
      partitions: offsets
        .filter(({ high, low }) => high !== low)
        .map(({ partition, high }) => ({ partition, offset: high })),
    });
  } finally {
    await admin.disconnect();
  }
  // The same group: what it committed lies before what is left.
  follower = await followLedger(bench, ledger);
  await follower.until(head);
  await expectKafkaAgain();
});

it('a connector that begins anew with a snapshot delivers everything again: nothing is applied twice', async () => {
  const url = `${bench.target.connectUrl ?? ''}/connectors/outbox`;
  const config = (await (await fetch(`${url}/config`)).json()) as Record<string, string>;
  const put = (changed: Record<string, string>): Promise<Response> =>
    fetch(`${url}/config`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...config, ...changed }),
    });
  await bench.pool.query('GRANT SELECT ON outbox TO cdc');
  try {
    await put({ 'snapshot.mode': 'initial' });
    await repairCdc(bench.target, { force: true });
    await eventually('all come again', () => Promise.resolve(follower.counts.duplicates >= 10));
    await follower.until(await copyEvents(bench.pool, ledger, 20));
    expect(follower.counts.duplicates).toBeGreaterThanOrEqual(10);
  } finally {
    await put({});
    await bench.pool.query('REVOKE SELECT ON outbox FROM cdc');
  }
  await eventually('the connector streams', streams);
  await expectKafkaAgain();
});

it('a worker that lost its offsets goes on where the slot stands', async () => {
  await bench.stack.kill('connect');
  rmSync(join(bench.stack.dir, 'connect', 'offsets'), { force: true });
  const head = await copyEvents(bench.pool, ledger, 30);
  await bench.stack.start('connect');
  await readTopic(bench, ledger, (messages) => messages.some((each) => position(each) === head.toString()));
  await follower.until(head);
  await expectKafkaAgain();
});

it('a broker that is killed is missed by nobody: the outbox is read meanwhile, and Kafka again when it is back', async () => {
  const { silent } = follower.counts;
  await bench.stack.kill('kafka');
  const head = await copyEvents(bench.pool, ledger, 100);
  await follower.until(head);
  expect(follower.feed.status().source).not.toBe('kafka');
  expect(follower.counts.silent).toBeGreaterThan(silent);
  expect(follower.counts.events).toBeGreaterThanOrEqual(100);
  expect(wrong(await checkCdc(bench.target))).toContain('topic');
  await bench.stack.start('kafka');
  await expectKafkaAgain();
});

it('what is written between joining the group and the first fetch is in the outbox: nothing is waited for', async () => {
  const group = `slow-${ledger}`;
  const slow = holdOffsets(group);
  const starting = followLedger(bench, ledger, group, PATIENT);
  try {
    await slow.asked;
    const head = await copyEvents(bench.pool, ledger, 3);
    // Written before the consumer knows where the partition ends: Kafka will not deliver them to it.
    await readTopic(bench, ledger, (messages) => new Set(messages.map(position)).has(head.toString()));
    slow.release();
    const late = await starting;
    await late.until(head);
    await late.until(await copyEvents(bench.pool, ledger, 1));
    expect(late.feed.status().source).toBe('kafka');
    expect(late.counts).toMatchObject({ gaps: 0, events: 0, silent: 0 });
  } finally {
    slow.release();
    await (await starting).close();
  }
});

/** Lets the client library wait before it asks for the offsets that a consumer of this group goes on from, until it is released. */
function holdOffsets(group: string): { asked: Promise<unknown>; release: () => void } {
  const { prototype } = createRequire(import.meta.url)('kafkajs/src/consumer/consumerGroup.js') as {
    prototype: { seekOffsets: (this: { groupId: string }, partitions: unknown) => Promise<void> };
  };
  const { seekOffsets } = prototype;
  const told = new EventEmitter();
  const [asked, released] = [once(told, 'asked'), once(told, 'released')];
  prototype.seekOffsets = async function (partitions) {
    if (this.groupId === group) {
      told.emit('asked');
      await released;
    }
    return seekOffsets.call(this, partitions);
  };
  const release = (): void => {
    prototype.seekOffsets = seekOffsets;
    told.emit('released');
  };
  return { asked, release };
}

it('of two consumers of a group the ledger goes to one, and to the other when that leaves', async () => {
  const group = `pair-${ledger}`;
  const one = await followLedger(bench, ledger, group);
  const other = await followLedger(bench, ledger, group);
  try {
    const owners = (): (boolean | undefined)[] => [one.source.owns(ledger), other.source.owns(ledger)];
    await eventually('one owns it', () => Promise.resolve(owners().filter((owns) => owns === true).length === 1));
    const [first, second] = one.source.owns(ledger) === true ? [one, other] : [other, one];
    await first.close();
    await eventually('the other has it', () => Promise.resolve(second.source.owns(ledger) === true));
    await second.until(await copyEvents(bench.pool, ledger, 5));
  } finally {
    await one.close();
    await other.close();
  }
});

function position({ message }: Awaited<ReturnType<typeof readTopic>>[number]): string {
  return message.headers?.['position']?.toString() ?? '';
}

it('an idle outbox in a busy database keeps no WAL back', async () => {
  const { pool } = bench;
  await pool.query('CREATE TABLE IF NOT EXISTS busy (line text)');
  const lag = async (): Promise<bigint> => {
    const { rows } = await pool.query<{ lag: bigint }>(
      `SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint AS lag
       FROM pg_replication_slots WHERE slot_name = 'tallystick'`,
    );
    return rows[0]?.lag ?? 0n;
  };
  await pool.query(`INSERT INTO busy SELECT repeat('x', 200) FROM generate_series(1, 100000)`);
  // Nothing of this is published: only the connector's own sign of life moves the slot on.
  await eventually('the slot has moved on', async () => (await lag()) < 1_000_000n);
  await pool.query('DROP TABLE busy');
});
