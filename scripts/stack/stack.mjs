import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { bitcoin, BITCOIN_USER } from './bitcoin.mjs';
import { connect, expectStreaming } from './connect.mjs';
import { hasClasses, keepingClasses } from './jvm.mjs';
import { kafka } from './kafka.mjs';
import { installParts } from './parts.mjs';
import { adoptPostgres, postgres } from './postgres.mjs';
import { logFileOf, pickPort, StackError, tryPort } from './processes.mjs';

export { StackError };

/** In the order in which they are started: each needs those before it. Stopped the other way round. */
const SERVICES = [postgres, kafka, connect, bitcoin];
export const SERVICE_NAMES = SERVICES.map(({ name }) => name);

/** Gets the coins of `generate`: of nobody, where the ledger has no wallet yet. */
const NOBODY = 'bcrt1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqdku202';

const DEFAULTS = { topic: 'tallystick.outbox', partitions: 12, miningAddress: NOBODY, quickStart: false, ports: {} };

/**
 * PostgreSQL, a Kafka broker, Kafka Connect with the connector and a Bitcoin node, all on loopback under one folder. They go on
 * without the process that started them; their pids, ports and passwords are in the folder, so that any later process finds them.
 *
 * @param options.dir the folder, made where it is not there
 * @param options.services names of those to run; all where it is not given
 * @param options.ports wanted ports by service (`postgres`, `kafka`, `connect`, `bitcoin`); those not given are as last time, or free
 * @param options.connectDatabasePort where Connect reaches PostgreSQL, if not directly
 * @param options.onProgress told what goes on, a line at a time
 */
export function openStack(given) {
  const options = { ...DEFAULTS, ...given };
  const dir = resolve(options.dir);
  const say = options.onProgress ?? (() => undefined);
  const services = SERVICES.filter(({ name }) => (options.services ?? SERVICE_NAMES).includes(name));
  mkdirSync(dir, { recursive: true });
  const file = join(dir, 'stack.json');

  const stack = { dir, options, state: readState(file), save };

  function save() {
    writeFileSync(`${file}.new`, JSON.stringify(stack.state, null, 2), { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }

  const find = (name) => {
    const service = SERVICES.find((candidate) => candidate.name === name);
    if (service === undefined) throw new StackError(`no such service: ${name} (there are ${SERVICE_NAMES.join(', ')})`);
    return service;
  };

  /** A port that was asked for must be free; one of an earlier run is kept if it is. */
  async function choosePorts(service) {
    for (const name of service.ports) {
      const wanted = options.ports[name];
      if (wanted !== undefined && (await tryPort(wanted)) === undefined) {
        throw new StackError(`port ${wanted} for ${service.title} is in use: give another one`);
      }
      stack.state.ports[name] = wanted ?? (await pickPort(stack.state.ports[name]));
    }
    save();
  }

  async function startService(service, keepTo) {
    const running = service.running(stack);
    if (running !== undefined) {
      say(`${service.title}: runs already (pid ${running}, port ${stack.state.ports[service.ports[0]]})`);
      return;
    }
    await choosePorts(service);
    const began = Date.now();
    say(`${service.title}: starting on 127.0.0.1:${stack.state.ports[service.ports[0]]}`);
    await service.start(stack, keepTo);
    say(`${service.title}: ready after ${((Date.now() - began) / 1000).toFixed(1)} s`);
  }

  /** Its first start on a machine is one more, so that all later ones take half the time. */
  async function keepClasses(service) {
    if (service.main === undefined || service.running(stack) !== undefined || hasClasses(service.main)) return;
    await keepingClasses(service.main, async (keepTo) => {
      await startService(service, keepTo);
      await service.stop(stack);
    });
    say(`${service.title}: starts faster from now on`);
  }

  return {
    dir,
    /** What the services have found and made: ports, URL of the database, passwords. */
    state: stack.state,

    /** Starts what does not run, in order, each when the one before is ready. */
    async up() {
      installParts(services.map(({ name }) => name));
      adoptPostgres(stack);
      const moved = services.some(
        (service) => service !== connect && service !== bitcoin && service.running(stack) === undefined,
      );
      // One that runs was told addresses that may no longer be right.
      if (moved && services.includes(connect) && connect.running(stack) !== undefined) await connect.stop(stack);
      for (const service of services) {
        await keepClasses(service);
        await startService(service);
      }
    },

    /** Stops what runs, the last first. */
    async down() {
      adoptPostgres(stack);
      for (const service of [...SERVICES].reverse()) {
        if (await service.stop(stack)) say(`${service.title}: stopped`);
      }
    },

    start: (name) => startService(find(name)),
    /** @param signal the gentle one of the service where none is given */
    stop: (name, signal) => find(name).stop(stack, signal),
    kill: (name) => find(name).stop(stack, 'SIGKILL'),
    /** Resolves when the connector streams from the slot. @throws Error saying why it does not */
    expectStreaming: () => expectStreaming(stack),

    /** Of each service: its pid, or that it does not run. */
    status: () => {
      adoptPostgres(stack);
      return SERVICES.map((service) => ({
        name: service.name,
        title: service.title,
        pid: service.running(stack),
        port: stack.state.ports[service.ports[0]],
        log: logFileOf(dir, service.name),
      }));
    },

    /** Environment of `tallystick start`, of those that were started once. */
    env() {
      const { ports, databaseUrl, bitcoinPassword } = stack.state;
      const has = (name) => services.includes(find(name)) && ports[find(name).ports[0]] !== undefined;
      return {
        ...(has('postgres') ? { DATABASE_URL: databaseUrl } : {}),
        ...(has('kafka') ? { KAFKA_BROKERS: `127.0.0.1:${ports.kafka}`, KAFKA_TOPIC: options.topic } : {}),
        ...(has('connect') ? { CONNECT_URL: `http://127.0.0.1:${ports.connect}` } : {}),
        ...(has('bitcoin')
          ? {
              BITCOIN_NETWORK: 'regtest',
              BITCOIN_RPC_URL: `http://${BITCOIN_USER}:${bitcoinPassword}@127.0.0.1:${ports.bitcoin}`,
            }
          : {}),
      };
    },
  };
}

function readState(file) {
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8'));
  return {
    ports: {},
    cdcPassword: randomBytes(24).toString('hex'),
    bitcoinPassword: randomBytes(24).toString('hex'),
    // Of a Kafka cluster: 16 bytes in base64url. It must not begin with '-'.
    clusterId: `A${randomBytes(16).toString('base64url').slice(1)}`,
  };
}
