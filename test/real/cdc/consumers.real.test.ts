import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { KafkaMessage, Producer } from 'kafkajs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { copyEvents, eventually, newLedger, openBench, readTopic, type CdcBench } from '../../support/cdc-ledger.js';
import { partPath } from '../../support/parts.js';

const EXAMPLES = fileURLToPath(new URL('../../../examples', import.meta.url));

/** The worked examples of docs/consuming.md, as they are. */
const CONSUMERS: [string, () => [string, string]][] = [
  ['in JavaScript', () => [process.execPath, join(EXAMPLES, 'consume-outbox.mjs')]],
  ['in Python', () => [partPath('consumer', 'consumer/bin/python'), join(EXAMPLES, 'consume_outbox.py')]],
];

let bench: CdcBench;
let producer: Producer;
let folder: string;
const children: ChildProcess[] = [];

beforeAll(async () => {
  bench = openBench();
  producer = bench.kafka.producer();
  await producer.connect();
});
afterAll(async () => {
  await producer.disconnect();
  await bench.close();
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tallystick-test-consumer-'));
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

interface Consumer {
  output: () => string;
  positions: () => number[];
  until(count: number): Promise<void>;
  stop(): Promise<void>;
  kill(): Promise<void>;
}

function start([command, file]: [string, string], ledger: string, topic: string, silentMs = 2000): Consumer {
  const out = join(folder, 'events.jsonl');
  const child = spawn(command, [file], {
    env: {
      ...process.env,
      ...bench.stack.env(),
      KAFKA_TOPIC: topic,
      LEDGER: ledger,
      OUT: out,
      SILENT_MS: String(silentMs),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  let output = '';
  child.stdout.on('data', (data: Buffer) => (output += data.toString()));
  child.stderr.on('data', (data: Buffer) => (output += data.toString()));
  const lines = (): { position: string }[] => {
    try {
      return readFileSync(out, 'utf8')
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line) as { position: string });
    } catch {
      // It has written nothing yet.
      return [];
    }
  };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  };
  return {
    output: () => output,
    positions: () => lines().map(({ position }) => Number(position)),
    until: (count) =>
      eventually(`${count} events; it said: ${output}`, () => {
        if (child.exitCode !== null) throw new Error(`it ended: ${output}`);
        return Promise.resolve(lines().length >= count);
      }),
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
  };
}

const upTo = (last: number): number[] => Array.from({ length: last }, (_, i) => i + 1);

/** Events of a fresh ledger, committed, and as the connector wrote them. */
async function commit(ledger: string, count: number, after = 0): Promise<KafkaMessage[]> {
  await copyEvents(bench.pool, ledger, count, { text: 'é😀', none: null, empty: [] });
  const messages = await readTopic(bench, ledger, (found) => found.length >= after + count);
  return messages.map(({ message }) => message).slice(after);
}

/** A topic of its own, to which the test sends the connector's messages: not all, not once, not in order. */
async function newTopic(name: string): Promise<string> {
  const topic = `examples.${name}`;
  const admin = bench.kafka.admin();
  await admin.connect();
  try {
    await admin.createTopics({ topics: [{ topic, numPartitions: 3 }], waitForLeaders: false });
  } finally {
    await admin.disconnect();
  }
  return topic;
}

async function send(topic: string, messages: readonly (KafkaMessage | undefined)[]): Promise<void> {
  await producer.send({
    topic,
    messages: messages.map((message) => {
      if (message === undefined) throw new Error('there is no such message');
      // A header without a value cannot be sent by this client.
      const headers = Object.fromEntries(
        Object.entries(message.headers ?? {}).filter(([, value]) => (value as unknown) !== null),
      );
      return { key: message.key, value: message.value, headers };
    }),
  });
}

describe.each(CONSUMERS)('the worked consumer %s', (_, command) => {
  it('applies each event once and in order: holes healed, repetitions dropped, and says how many', async () => {
    const ledger = newLedger();
    const topic = await newTopic(ledger);
    await commit(ledger, 5);
    // Patient, so that it is the gaps that tell it, and not the silence before.
    const consumer = start(command(), ledger, topic, 12_000);
    await consumer.until(5);
    const messages = await commit(ledger, 20, 5);
    // Joined when what is sent to it comes: sent again until then, which it has to stand as well.
    const first = messages[0];
    await eventually('it consumes', async () => {
      await send(topic, [first]);
      return consumer.positions().length > 5;
    });
    await consumer.until(6);
    // 7 and 8 never come, 9 twice, 12 before 11, 13 to 18 never.
    await send(topic, [messages[3], messages[3], messages[4], messages[6], messages[5], messages[13], messages[14]]);
    await consumer.until(20);
    // The last five nobody sends: it must notice by itself.
    await consumer.until(25);
    expect(consumer.positions()).toEqual(upTo(25));
    await consumer.stop();
    const counts = JSON.parse(consumer.output().trimEnd().split('\n').at(-1) ?? '') as Record<string, number>;
    expect(counts['applied']).toBe(25);
    expect(counts['gaps']).toBeGreaterThan(0);
    expect(counts['healed']).toBeGreaterThan(5);
    expect(counts['duplicates']).toBeGreaterThan(0);
  });

  it("goes on where it was when it was killed, and reads what came meanwhile from the connector's topic or the outbox", async () => {
    const ledger = newLedger();
    const topic = 'tallystick.outbox';
    const one = start(command(), ledger, topic);
    await copyEvents(bench.pool, ledger, 10);
    await one.until(10);
    await one.kill();
    await copyEvents(bench.pool, ledger, 10);
    const two = start(command(), ledger, topic);
    await two.until(20);
    await copyEvents(bench.pool, ledger, 10);
    await two.until(30);
    expect(two.positions()).toEqual(upTo(30));
    await two.stop();
  });
});
