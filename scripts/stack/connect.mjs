import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { javaArgs, writeProperties } from './jvm.mjs';
import { DEBEZIUM, PARTS } from './parts.mjs';
import { findRunning, startDetached, stopService, untilReady } from './processes.mjs';

const HEAP_MB = 256;
const MAIN = 'org.apache.kafka.connect.cli.ConnectStandalone';
const CONNECTOR_FILE = join(DEBEZIUM, 'connector.json');

/** Kafka Connect, standalone, with the connector registered. Needs PostgreSQL and the broker: it ends where one is away at its start. */
export const connect = {
  name: 'connect',
  title: 'Kafka Connect',
  main: MAIN,
  ports: ['connect'],

  running: (stack) => findRunning(stack.dir, 'connect'),

  async start(stack, keepTo) {
    const { dir, state, options } = stack;
    const offsets = join(dir, 'connect');
    mkdirSync(offsets, { recursive: true });
    const file = join(dir, 'worker.properties');
    writeProperties('worker.properties', file, {
      'bootstrap.servers': `127.0.0.1:${state.ports.kafka}`,
      listeners: `http://127.0.0.1:${state.ports.connect}`,
      'plugin.path': join(PARTS, 'cdc/plugins'),
      'offset.storage.file.filename': join(offsets, 'offsets'),
      ...options.workerSettings,
    });
    const database = new URL(state.databaseUrl);
    startDetached(
      dir,
      'connect',
      'java',
      javaArgs({
        dir,
        heapMb: HEAP_MB,
        quickStart: options.quickStart,
        main: MAIN,
        args: [file, CONNECTOR_FILE],
        keepTo,
      }),
      {
        env: {
          CDC_DATABASE_HOST: database.hostname,
          CDC_DATABASE_PORT: String(options.connectDatabasePort ?? database.port),
          CDC_DATABASE_NAME: database.pathname.slice(1),
          CDC_DATABASE_USER: 'cdc',
          CDC_DATABASE_PASSWORD: state.cdcPassword,
        },
      },
    );
    await untilReady(dir, 'connect', () => expectStreaming(stack));
  },

  stop: (stack, signal) => stopService(stack.dir, 'connect', signal),
};

/** Running by its own word is not enough: an invalidated slot leaves it RUNNING too. @throws Error saying what is not as it should be */
export async function expectStreaming(stack) {
  const { name, config } = JSON.parse(readFileSync(CONNECTOR_FILE, 'utf8'));
  const answer = await fetch(`http://127.0.0.1:${stack.state.ports.connect}/connectors/${name}/status`);
  const status = await answer.json();
  const task = status.tasks?.[0];
  if (task?.state !== 'RUNNING') throw new Error(`task is ${task?.state ?? 'not there'} ${task?.trace ?? ''}`);
  const client = new pg.Client({ connectionString: stack.state.databaseUrl });
  await client.connect();
  try {
    const { rows } = await client.query('SELECT active FROM pg_replication_slots WHERE slot_name = $1', [
      config['slot.name'],
    ]);
    if (rows[0]?.active !== true) throw new Error('its replication slot is not active');
  } finally {
    await client.end();
  }
}
