import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Kafka, logLevel } from 'kafkajs';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { openStack, type Stack } from '../../../scripts/stack/stack.mjs';
import { repairCdc } from '../../../src/outbox/kafka/cdc-repair.js';
import { eventually, openBench, TOPIC, type CdcBench } from '../../support/cdc-ledger.js';
import { testStackOptions } from '../../support/cdc-stack.js';
import { startDeployment, type Deployment } from '../../support/deployment.js';
import { expectWhole } from '../../support/expect-whole.js';
import { startStandIn, type StandIn } from '../../support/eventstoredb/stand-in.js';
import { startPipelineLoad, type PipelineLoad } from '../../support/pipeline-load.js';
import { startToxiproxy, type Toxiproxy } from '../../support/toxiproxy.js';

/**
 * The whole pipeline in processes of its own, under load, while one part after the other is broken, and two at once. At the end nothing is
 * lost, nothing is doubled, and every read model is, row for row, what a replay of the log gives.
 */

/** Long enough for what was broken to be noticed, and for work to go on without it. */
const BROKEN_MS = Number(process.env['TALLYSTICK_BROKEN_MS'] ?? 1_500);
/** More than any process may need: what grows with the length of a run would pass it. */
const MEMORY_LIMIT_MIB = 700;
const LEDGERS = ['a', 'b'].map((name) => `${name}-${randomBytes(4).toString('hex')}`);
/** Where Debian puts it; the clock of a process is an hour ahead with it. */
const FAKETIME = [
  '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1',
  '/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1',
];

let bench: CdcBench;
let stack: Stack;
let events: StandIn;
let broker: Toxiproxy;
let database: Toxiproxy;
let store: Toxiproxy;
/** Between Connect and PostgreSQL. */
let replication: Toxiproxy;
let deployment: Deployment;
const loads: PipelineLoad[] = [];
const ended: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  const faketime = FAKETIME.find((file) => existsSync(file));
  if (faketime === undefined)
    throw new Error('libfaketime is not installed (Debian: faketime): no clock can be set wrong');
  bench = openBench();
  ended.push(() => bench.close());
  const plain = bench.stack;
  const kafkaPort = plain.state.ports['kafka'] ?? 0;
  broker = await startToxiproxy(kafkaPort);
  ended.push(() => broker.stop());
  // Clients are told the proxy's address: Connect and the projectors, all that they say goes through it.
  const brokerSettings = { 'advertised.listeners': `PLAINTEXT://127.0.0.1:${broker.port}` };
  replication = await startToxiproxy(plain.state.ports['postgres'] ?? 0);
  ended.push(() => replication.stop());
  stack = openStack({
    ...testStackOptions(inject('stackDir')),
    brokerSettings,
    connectDatabasePort: replication.port,
  });
  await restartBroker(stack);
  ended.push(() => restartBroker(plain));

  const databaseUrl = new URL(plain.env()['DATABASE_URL'] ?? '');
  database = await startToxiproxy(Number(databaseUrl.port));
  ended.push(() => database.stop());
  databaseUrl.port = String(database.port);
  events = await startStandIn();
  ended.push(() => events.stop());
  store = await startToxiproxy(events.port);
  ended.push(() => store.stop());

  const shared = {
    DATABASE_URL: databaseUrl.toString(),
    KAFKA_BROKERS: `127.0.0.1:${broker.port}`,
    KAFKA_GROUP: LEDGERS.join('.'),
    EVENT_STORE: 'eventstoredb',
    EVENTSTOREDB_URL: `esdb://127.0.0.1:${store.port}?tls=false`,
    BITCOIN_SOURCE: 'push',
    LEDGER: LEDGERS.join(','),
    LOG_LEVEL: 'error',
  };
  deployment = await startDeployment(shared, {
    'api 1': { ROLE: 'api,follower' },
    'api 2': { ROLE: 'api,follower' },
    'relay 1': { ROLE: 'relay' },
    'relay 2': { ROLE: 'relay' },
    'projector 1': { ROLE: 'projector' },
    // An hour ahead of everybody else.
    'projector 2': { ROLE: 'projector', LD_PRELOAD: faketime, FAKETIME: '+3600', FAKETIME_DONT_FAKE_MONOTONIC: '1' },
    'workflow 1': { ROLE: 'workflow' },
    'workflow 2': { ROLE: 'workflow' },
  });
  ended.push(() => deployment.close());
  const started = LEDGERS.map((ledger) => {
    // Each request goes to the other one than the one before, as behind a load balancer.
    let turn = 0;
    const api = (): string => `api ${(turn++ % 2) + 1}`;
    return startPipelineLoad(() => `${deployment.service(api()).url()}/ledgers/${ledger}`);
  });
  loads.push(...(await Promise.all(started)));
}, 600_000);

afterAll(async () => {
  const errors: unknown[] = [];
  for (const end of ended.reverse()) await end().catch((error: unknown) => errors.push(error));
  expect(errors).toEqual([]);
}, 300_000);

async function restartBroker(of: Stack): Promise<void> {
  await of.start('postgres');
  await of.stop('connect');
  await of.stop('kafka');
  await of.start('kafka');
  await of.start('connect');
}

interface Fault {
  name: string;
  run: () => Promise<void>;
}

const killed = async (name: string): Promise<void> => {
  await deployment.service(name).end('SIGKILL');
  await sleep(BROKEN_MS);
};

const restartedPart = async (name: 'connect' | 'kafka' | 'postgres', signal: NodeJS.Signals): Promise<void> => {
  await stack.stop(name, signal);
  await sleep(BROKEN_MS);
  await stack.start(name);
};

const paused = async (...names: string[]): Promise<void> => {
  for (const name of names) deployment.service(name).pause();
  // Longer than a lease lasts, so that another one takes over.
  await sleep(BROKEN_MS + 4_000);
  for (const name of names) deployment.service(name).resume();
};

const onTheWire = async (proxy: Toxiproxy): Promise<void> => {
  const latency = { latency: 200, jitter: 150 };
  await proxy.setToxics({ type: 'latency', stream: 'downstream', attributes: latency });
  await sleep(BROKEN_MS);
  await proxy.setToxics({ type: 'timeout', stream: 'downstream', attributes: { timeout: 0 } });
  await sleep(BROKEN_MS);
  await proxy.setToxics({ type: 'reset_peer', stream: 'downstream', attributes: { timeout: 100 } });
  await sleep(BROKEN_MS);
  await proxy.setToxics();
};

async function connectorStreams(): Promise<void> {
  await eventually('the connector streams', () =>
    stack.expectStreaming().then(
      () => true,
      () => false,
    ),
  );
}

/** A call to Kafka Connect about the connector; it refuses for a moment what comes too soon after another. */
async function connector(method: 'GET' | 'PUT' | 'DELETE', path: string, body?: object): Promise<string> {
  let text = '';
  await eventually(`${method} ${path} of the connector`, async () => {
    const answer = await fetch(`${bench.target.connectUrl ?? ''}/connectors/${bench.target.connector}${path}`, {
      method,
      ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    });
    text = await answer.text();
    return answer.ok;
  });
  return text;
}

async function connectorConfig(): Promise<Record<string, string>> {
  return JSON.parse(await connector('GET', '/config')) as Record<string, string>;
}

const FAULTS: readonly Fault[] = [
  // That each of them may be asked to stop is what the test of rolling restarts shows.
  ...['api 1', 'api 2', 'relay 1', 'relay 2', 'projector 1', 'projector 2', 'workflow 1'].map((name) => ({
    name: `${name} is killed`,
    run: () => killed(name),
  })),
  ...(['SIGKILL', 'SIGTERM'] as const).flatMap((signal) =>
    (['connect', 'kafka', 'postgres'] as const).map((name) => ({
      name: `${name}: ${signal}`,
      // To PostgreSQL, SIGTERM means to wait for its clients; SIGINT to end them.
      run: () => restartedPart(name, name === 'postgres' && signal === 'SIGTERM' ? 'SIGINT' : signal),
    })),
  ),
  { name: 'relay 1 and a projector hang, and wake up again', run: () => paused('relay 1', 'projector 1') },
  { name: 'relay 2 and a workflow hang, and wake up again', run: () => paused('relay 2', 'workflow 1') },
  { name: 'an API with its follower hangs, and wakes up again', run: () => paused('api 1') },
  { name: 'the network to Kafka: slow, silent, reset', run: () => onTheWire(broker) },
  { name: 'the network to PostgreSQL: slow, silent, reset', run: () => onTheWire(database) },
  { name: 'the network to EventStoreDB: slow, silent, reset', run: () => onTheWire(store) },
  { name: 'the network from Connect to PostgreSQL: slow, silent, reset', run: () => onTheWire(replication) },
  {
    name: 'the slot is dropped under the connector, and repaired',
    run: async () => {
      await bench.pool.query(
        `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'tallystick' AND active`,
      );
      await eventually('the slot is dropped', () =>
        bench.pool.query(`SELECT pg_drop_replication_slot('tallystick')`).then(
          () => true,
          () => false,
        ),
      );
      await sleep(BROKEN_MS);
      await repairCdc(bench.target);
    },
  },
  {
    name: 'the connector is removed, and made again',
    run: async () => {
      const config = await connectorConfig();
      await connector('DELETE', '');
      await sleep(BROKEN_MS);
      await connector('PUT', '/config', config);
    },
  },
  {
    name: 'the connector begins anew with a snapshot: everything comes again',
    run: async () => {
      const config = await connectorConfig();
      await bench.pool.query('GRANT SELECT ON outbox TO cdc');
      await connector('PUT', '/config', { ...config, 'snapshot.mode': 'initial' });
      await repairCdc(bench.target, { force: true });
      await connectorStreams();
      await connector('PUT', '/config', config);
      await bench.pool.query('REVOKE SELECT ON outbox FROM cdc');
    },
  },
  {
    name: 'the topic is deleted',
    run: async () => {
      const admin = new Kafka({ brokers: bench.brokers, logLevel: logLevel.NOTHING }).admin();
      await admin.connect();
      await admin.deleteTopics({ topics: [TOPIC] });
      await admin.disconnect();
      await sleep(BROKEN_MS * 2);
    },
  },
  {
    name: 'the broker and a projector at once',
    run: async () => {
      await Promise.all([restartedPart('kafka', 'SIGKILL'), killed('projector 1')]);
    },
  },
  {
    name: 'PostgreSQL and a relay at once',
    run: async () => {
      await Promise.all([restartedPart('postgres', 'SIGKILL'), killed('relay 1')]);
    },
  },
  {
    name: 'Connect and the API at once',
    run: async () => {
      await Promise.all([restartedPart('connect', 'SIGKILL'), killed('api 1')]);
    },
  },
];

it('loses nothing and doubles nothing, whatever is broken', { timeout: 1_500_000 }, async () => {
  for (const { name, run } of FAULTS) {
    const began = performance.now();
    const before = loads.map(({ acknowledged }) => acknowledged.length);
    await run();
    await connectorStreams();
    // Everybody is answered again before the next thing breaks.
    for (const [index, load] of loads.entries()) {
      await eventually('commands are answered', () => {
        load.check();
        return Promise.resolve(load.acknowledged.length > (before[index] ?? 0));
      });
    }
    await deployment.sample();
    process.stdout.write(`  ${name} (${((performance.now() - began) / 1000).toFixed(1)} s)\n`);
  }
  await Promise.all(loads.map((load) => load.stop()));

  const databaseUrl = bench.stack.env()['DATABASE_URL'] ?? '';
  for (const [index, ledger] of LEDGERS.entries()) {
    const acknowledged = loads[index]?.acknowledged ?? [];
    const length = await expectWhole({ databaseUrl, ledger, acknowledged, events });
    process.stdout.write(`  ${ledger}: ${length} events, ${acknowledged.length} commands acknowledged\n`);
  }
  await deployment.sample();
  const counted = [
    'feed_gaps_healed_total',
    'feed_events_healed_total',
    'feed_duplicates_dropped_total',
    'feed_silent_total',
  ];
  for (const name of counted) process.stdout.write(`  ${name}: ${deployment.total(name)}\n`);
  const memory = deployment.peakMemoryMiB();
  process.stdout.write(`  peak memory in MiB: ${JSON.stringify(memory)}\n`);
  // Something was broken on the way: a run in which nothing had to be healed has tested nothing.
  expect(deployment.total('feed_events_healed_total')).toBeGreaterThan(0);
  for (const [name, peak] of Object.entries(memory)) expect([name, peak < MEMORY_LIMIT_MIB]).toEqual([name, true]);
});
