import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openStack } from '../../../scripts/stack/stack.mjs';
import type { CdcFinding } from '../../../src/outbox/kafka/cdc-health.js';
import { copyEvents, eventually, followLedger, newLedger, openBench, type CdcBench } from '../../support/cdc-ledger.js';
import { testStackOptions } from '../../support/cdc-stack.js';

const TALLYSTICK = fileURLToPath(new URL('../../../bin/tallystick.js', import.meta.url));
const STACK = fileURLToPath(new URL('../../../scripts/stack.mjs', import.meta.url));

let bench: CdcBench;
beforeAll(() => {
  bench = openBench();
});
afterAll(() => bench.close());

function run(args: readonly string[], env: Record<string, string | undefined> = {}) {
  const given = { ...process.env, ...bench.stack.env(), ...env };
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', env: given });
  return { status, stdout, stderr };
}

const cdc = (args: readonly string[], env?: Record<string, string | undefined>) =>
  run([TALLYSTICK, 'cdc', ...args], env);

function findings(stdout: string): CdcFinding[] {
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as CdcFinding);
}

describe('tallystick cdc', () => {
  it('check says that all is well, for people and for machines', async () => {
    await eventually('the connector streams', () =>
      bench.stack.expectStreaming().then(
        () => true,
        () => false,
      ),
    );
    const people = cdc(['check']);
    expect(people.stdout).toMatch(/^ok +wal_level: logical$/m);
    expect(people.stdout).toMatch(/^ok +slot: tallystick is read by pid \d+$/m);
    expect(people.status).toBe(0);
  });

  it('check names what is wrong and what to do, and ends with 1; setup makes it good', async () => {
    await bench.pool.query('DROP PUBLICATION tallystick');
    try {
      const told = cdc(['check'], { KAFKA_TOPIC: 'no.such.topic', CONNECTOR_NAME: 'other', SLOT_NAME: 'other' });
      expect(told.status).toBe(1);
      expect(told.stdout).toMatch(
        /^WRONG +publication: there is no publication tallystick\n +to do: tallystick cdc setup$/m,
      );
      expect(told.stdout).toMatch(/^WRONG +slot: there is no replication slot other$/m);
      expect(told.stdout).toMatch(/^WRONG +topic: there is no topic no\.such\.topic$/m);
      expect(told.stdout).toMatch(/^WRONG +connector: Kafka Connect has no connector other$/m);
    } finally {
      const setup = cdc(['setup'], { CDC_PASSWORD: bench.stack.state.cdcPassword });
      expect(setup.stderr).toBe('');
      expect(setup.stdout).toContain('topic tallystick.outbox is there, with 12 partitions');
    }
    const repaired = findings(cdc(['check', '--json'], { KAFKA_PARTITIONS: '24' }).stdout);
    expect(repaired.find(({ part }) => part === 'publication')?.state).toBe('ok');
    expect(repaired.find(({ part }) => part === 'topic')?.state).toBe('warning');
  });

  it('check looks only at what it is told of, and says when nothing answers there', () => {
    const partly = cdc(['check', '--json'], { KAFKA_BROKERS: undefined, CONNECT_URL: undefined });
    const inState = (stdout: string, wanted: CdcFinding['state']): string[] =>
      findings(stdout)
        .filter(({ state }) => state === wanted)
        .map(({ part }) => part);
    expect(inState(partly.stdout, 'unknown')).toEqual(['topic', 'connector']);
    expect(partly.status).toBe(0);
    const nobody = cdc(['check', '--json'], { KAFKA_BROKERS: '127.0.0.1:1', CONNECT_URL: 'http://127.0.0.1:1' });
    expect(inState(nobody.stdout, 'wrong')).toEqual(['topic', 'connector']);
    expect(nobody.status).toBe(1);
  });

  it('repair does nothing where nothing is wrong, and makes a new slot where it is told to', async () => {
    const nothing = cdc(['repair']);
    expect(nothing.stdout).toMatch(/^nothing to repair/);
    expect(nothing.status).toBe(0);
    const ledger = newLedger();
    const follower = await followLedger(bench, ledger);
    try {
      const forced = cdc(['repair', '--force', '--json']);
      expect(forced.stderr).toBe('');
      expect(forced.stdout).toContain('"step":"dropping slot tallystick"');
      expect(forced.status).toBe(0);
      await follower.until(await copyEvents(bench.pool, ledger, 5));
    } finally {
      await follower.close();
    }
  });

  it('says in one line what it needs', () => {
    const line = (args: readonly string[], env: Record<string, string | undefined>): [number | null, string] => {
      const { status, stderr } = cdc(args, env);
      return [status, stderr];
    };
    expect(line(['setup'], { CDC_PASSWORD: 'short' })).toEqual([
      2,
      expect.stringMatching(/^tallystick: CDC_PASSWORD.*\n$/),
    ]);
    expect(line(['repair'], { CONNECT_URL: undefined })).toEqual([
      1,
      'tallystick: CONNECT_URL must be set to repair the connector\n',
    ]);
  });
});

describe('npm run stack', () => {
  const dir = (): string => bench.stack.dir;
  const only = ['--only', 'postgres,kafka,connect'];

  it('status and env tell where everything is, and up leaves alone what runs', () => {
    const status = run([STACK, 'status', '--dir', dir(), ...only]);
    expect(status.stdout).toMatch(/^Kafka broker: pid \d+ on 127\.0\.0\.1:\d+ \(log: /m);
    expect(status.status).toBe(0);
    const up = run([STACK, 'up', '--dir', dir(), ...only]);
    expect(up.stderr.match(/runs already/g)).toHaveLength(3);
    expect(up.stdout).toContain(`DATABASE_URL=${bench.stack.env()['DATABASE_URL'] ?? '?'}\n`);
    const env = run([STACK, 'env', '--dir', dir(), ...only]);
    expect(env.stdout).toBe(up.stdout);
  });

  it('after down and up everything is as it was, and what was killed is started again', async () => {
    const ledger = newLedger();
    const head = await copyEvents(bench.pool, ledger, 7);
    const stack = openStack(testStackOptions(dir()));
    const before = stack.env();
    // Killed: their pid files stay behind.
    const pids = stack.status().flatMap(({ pid, name }) => (pid === undefined || name === 'postgres' ? [] : [pid]));
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    await stack.down();
    expect(stack.status().map(({ pid }) => pid)).toEqual([undefined, undefined, undefined, undefined]);
    await stack.up();
    expect(stack.env()).toEqual(before);
    const follower = await followLedger(bench, ledger);
    try {
      await follower.until(head);
      await follower.until(await copyEvents(bench.pool, ledger, 3));
    } finally {
      await follower.close();
    }
  });

  it('says what is wrong with what it was asked', () => {
    expect(run([STACK, 'upp']).status).toBe(2);
    expect(run([STACK, 'up', '--only', 'redis']).stderr).toContain('no such service: redis');
    expect(run([STACK, 'up', '--kafka-port', '99999']).stderr).toContain("'99999' is not a port");
  });
});
