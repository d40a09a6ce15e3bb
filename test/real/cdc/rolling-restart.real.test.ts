import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeAll, afterAll, describe, expect, it } from 'vitest';
import { eventually, openBench, type CdcBench } from '../../support/cdc-ledger.js';
import { startDeployment, type Deployment } from '../../support/deployment.js';
import { expectWhole } from '../../support/expect-whole.js';
import { startStandIn, type StandIn } from '../../support/eventstoredb/stand-in.js';
import { createLedgerClient } from '../../support/ledger-client.js';
import { startPipelineLoad } from '../../support/pipeline-load.js';

/** What operators do every day: new versions, one process after the other; more projectors, and fewer again. */

const PARTITIONS = 12;

let bench: CdcBench;
let events: StandIn;
const ended: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  bench = openBench();
  events = await startStandIn();
});
afterEach(async () => {
  const errors: unknown[] = [];
  for (const end of ended.splice(0).reverse()) await end().catch((error: unknown) => errors.push(error));
  expect(errors).toEqual([]);
});
afterAll(async () => {
  await events.stop();
  await bench.close();
});

function databaseUrl(): string {
  return bench.stack.env()['DATABASE_URL'] ?? '';
}

async function deploy(
  ledgers: readonly string[],
  services: Record<string, Record<string, string>>,
): Promise<Deployment> {
  const shared = {
    DATABASE_URL: databaseUrl(),
    KAFKA_BROKERS: bench.stack.env()['KAFKA_BROKERS'] ?? '',
    KAFKA_GROUP: ledgers.join('.'),
    EVENT_STORE: 'eventstoredb',
    EVENTSTOREDB_URL: events.url,
    BITCOIN_SOURCE: 'push',
    LEDGER: ledgers.join(','),
    LOG_LEVEL: 'error',
  };
  const deployment = await startDeployment(shared, services);
  ended.push(() => deployment.close());
  return deployment;
}

function newLedgers(count: number): string[] {
  return Array.from({ length: count }, () => `r-${randomBytes(4).toString('hex')}`);
}

/** Reads an account again and again as behind a load balancer: whoever does not answer is passed over. */
function readAllTheTime(urls: readonly (() => string)[], path: string): { reads: () => number; stop(): Promise<void> } {
  let reads = 0;
  let isStopped = false;
  const running = (async () => {
    while (!isStopped) {
      const failures: string[] = [];
      for (const url of urls) {
        const answer = await createLedgerClient(url())
          .get(path)
          .catch((error: unknown) => String(error));
        if (typeof answer !== 'string' && answer.status === 200) break;
        failures.push(typeof answer === 'string' ? answer : `${answer.status} ${JSON.stringify(answer.body)}`);
      }
      if (failures.length === urls.length)
        throw new Error(`read ${reads} was answered by nobody: ${failures.join('; ')}`);
      reads += 1;
      await sleep(10);
    }
  })();
  // Awaited by `stop`.
  running.catch(() => undefined);
  return {
    reads: () => reads,
    stop: async () => {
      isStopped = true;
      await running;
    },
  };
}

describe('a deployment', () => {
  it('is restarted process by process under load: nothing is lost, nothing doubled, and every read is answered', async () => {
    const [ledger = ''] = newLedgers(1);
    const roles = ['api,follower', 'relay', 'projector', 'workflow'];
    const services = roles.flatMap((ROLE) => [1, 2].map((n): [string, { ROLE: string }] => [`${ROLE} ${n}`, { ROLE }]));
    const deployment = await deploy([ledger], Object.fromEntries(services));
    const [first, second] = [1, 2].map((n) => deployment.service(`api,follower ${n}`));
    if (first === undefined || second === undefined) throw new Error('there are two');
    const urls = [first, second].map(
      ({ url }) =>
        () =>
          `${url()}/ledgers/${ledger}`,
    );
    // Each request goes to the other one than the one before.
    let turn = 0;
    const load = await startPipelineLoad(() => (urls[(turn += 1) % 2] ?? urls[0])?.() ?? '');
    const readers = readAllTheTime(urls, '/v1/accounts/alice');

    for (const [name] of services) {
      const service = deployment.service(name);
      const { length } = load.acknowledged;
      await service.end('SIGTERM');
      await eventually(`${name} is ready again`, async () => {
        const answer = await createLedgerClient(service.url())
          .get('/health/ready')
          .catch(() => undefined);
        return answer?.status === 200;
      });
      await eventually('commands are answered', () => {
        load.check();
        return Promise.resolve(load.acknowledged.length > length);
      });
    }
    await load.stop();
    await readers.stop();
    expect(readers.reads()).toBeGreaterThan(100);
    expect(services.map(([name]) => deployment.service(name).starts())).toEqual(services.map(() => 2));
    await expectWhole({ databaseUrl: databaseUrl(), ledger, acknowledged: load.acknowledged, events });
  });

  it('moves load to projectors that are added, and back from those that are taken away', async () => {
    const ledgers = newLedgers(6);
    const deployment = await deploy(ledgers, {
      api: { ROLE: 'api,follower' },
      relay: { ROLE: 'relay' },
      'projector 1': { ROLE: 'projector' },
    });
    const urlOf = (ledger: string): string => `${deployment.service('api').url()}/ledgers/${ledger}`;
    const loads = await Promise.all(ledgers.slice(0, 3).map((ledger) => startPipelineLoad(() => urlOf(ledger))));
    const assigned = async (name: string): Promise<number> => {
      const answer = await createLedgerClient(deployment.service(name).url()).get('/metrics');
      return Number(/^tallystick_kafka_partitions_assigned\S* (\d+)$/m.exec(String(answer.body['text']))?.[1]);
    };
    const areShared = (names: readonly string[]): Promise<void> =>
      eventually(`${names.length} projectors share the partitions`, async () => {
        const counts = await Promise.all(names.map(assigned));
        const total = counts.reduce((a, b) => a + b, 0);
        return total === PARTITIONS && Math.min(...counts) >= Math.floor(PARTITIONS / names.length);
      });
    const goesOn = async (): Promise<void> => {
      const before = await positionsOf(bench, ledgers.slice(0, 3));
      await eventually('all read models go on', async () => {
        for (const load of loads) load.check();
        const now = await positionsOf(bench, ledgers.slice(0, 3));
        return now.every((position, index) => position > (before[index] ?? 0n));
      });
    };

    const names = ['projector 1'];
    await areShared(names);
    for (const name of ['projector 2', 'projector 3', 'projector 4']) {
      await deployment.add(name, { ROLE: 'projector' });
      names.push(name);
      await areShared(names);
      await goesOn();
    }
    for (const name of ['projector 1', 'projector 3']) {
      await deployment.remove(name);
      names.splice(names.indexOf(name), 1);
      await areShared(names);
      await goesOn();
    }
    await Promise.all(loads.map((load) => load.stop()));
    for (const [index, ledger] of ledgers.entries()) {
      const acknowledged = loads[index]?.acknowledged ?? [];
      await expectWhole({ databaseUrl: databaseUrl(), ledger, acknowledged, events });
    }
  });
});

/** The slowest read model of each ledger. */
async function positionsOf({ pool }: CdcBench, ledgers: readonly string[]): Promise<bigint[]> {
  const { rows } = await pool.query<{ position: bigint }>(
    `SELECT coalesce((SELECT min(position) FROM projection_checkpoint c WHERE c.ledger = l.ledger), -1) AS position
     FROM unnest($1::text[]) WITH ORDINALITY AS l(ledger, n) ORDER BY n`,
    [ledgers],
  );
  return rows.map(({ position }) => position);
}
