import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { createPostgresFeed } from '../../outbox/postgres-feed.js';
import { createTestDatabase } from '../../../test/support/database.js';
import type { TestDatabase } from '../../../test/support/database.js';
import { tellLog } from '../../../test/support/ledger-log.js';
import { dumpTables } from '../../../test/support/live-read-models.js';
import { pickyProjection } from '../../../test/support/picky-projection.js';
import {
  accountOpened,
  blockConnected,
  chainOpened,
  deposit,
  transferSent,
} from '../../../test/support/small-histories.js';
import { ALL_PROJECTIONS } from '../all-projections.js';
import { accounts } from '../models/accounts.js';
import { readCheckpoints } from '../checkpoint.js';
import { defineProjection } from '../projection.js';
import type { Projection } from '../projection.js';
import { readBalances } from '../../../test/support/read-balances.js';
import { rebuildProjections, RebuildRunningError } from '../rebuild/rebuild-projections.js';
import { readSchema } from '../tables/identifiers.js';
import { appendTable } from '../tables/table-definition.js';
import { GuardLostError } from './guard-lost-error.js';
import { readLog } from '../log-reader.js';
import { Lane } from './lane.js';
import type { Halt } from './lane.js';
import { createProjectionRunner } from './projection-runner.js';
import type { ProjectionRunner } from './projection-runner.js';

let database: TestDatabase;
const cleanups: (() => Promise<void>)[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
});
async function stopRunners(): Promise<void> {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
}
afterEach(stopRunners);
afterAll(async () => {
  await database.drop();
});

async function startRunner(
  ledger: string,
  projections: readonly Projection[] = ALL_PROJECTIONS,
  onHalt?: (halt: Halt) => void,
): Promise<ProjectionRunner> {
  const { pool } = database;
  const feed = createPostgresFeed({ pool, ledger });
  const runner = createProjectionRunner({
    pool,
    ledger,
    feed,
    projections,
    rebuild: (names, signal) => rebuildProjections({ pool, ledger, projections, names, signal }),
    ...(onHalt ? { onHalt } : {}),
  });
  cleanups.push(async () => {
    await runner.stop();
    await feed.close();
  });
  await runner.start();
  return runner;
}

function never(): never {
  throw new Error('there is no projection');
}

const opening = [...chainOpened(), accountOpened('alice'), accountOpened('bob')];

test('a reader that waits for a position sees it, and a listener hears of it', async () => {
  const runner = await startRunner('follow');
  const heard: bigint[] = [];
  runner.onAdvanced((position) => heard.push(position));
  const head = await tellLog(database.ownerPool, 'follow', [
    ...opening,
    blockConnected(1, '1', '0', deposit('d', 'alice', 700)),
  ]);
  expect(await runner.waitFor(head, undefined, 10_000)).toBe(head);
  const at = { position: head, chainPosition: head, height: null };
  const balances = await readBalances(database.pool, 'follow', ['alice', 'bob', 'nobody'], at);
  expect(balances.get('alice')).toMatchObject({ availableSats: 700n, pendingSats: 0n, frozen: false });
  expect(balances.get('bob')).toMatchObject({ availableSats: 0n });
  expect(balances.has('nobody')).toBe(false);
  expect(await runner.status()).toEqual(
    ALL_PROJECTIONS.map(({ name }) => ({
      name,
      position: head,
      lagEvents: 0n,
      state: 'live',
      reason: null,
      haltedAt: null,
    })),
  );
  await expect.poll(() => heard.at(-1), { timeout: 10_000 }).toBe(head);
});

test('waiting for a position that does not come ends with what was reached', async () => {
  const runner = await startRunner('wait');
  const head = await tellLog(database.ownerPool, 'wait', opening);
  expect(await runner.waitFor(head, undefined, 10_000)).toBe(head);
  expect(await runner.waitFor(head + 1n, undefined, 50)).toBe(head);
});

test('a poison event halts its projection before it, says why, and leaves the others going; fixed code resumes there', async () => {
  const picky = (isFixed: boolean): Projection =>
    pickyProjection(1, (position) => {
      if (!isFixed) throw new Error('cannot stand transfers');
      return position;
    });
  const runner = await startRunner('poison', [...ALL_PROJECTIONS, picky(false)]);
  const events = [...opening, transferSent('t', 'alice', 'bob', 5), accountOpened('carol')];
  const head = await tellLog(database.ownerPool, 'poison', events);
  const others = ALL_PROJECTIONS.map(({ name }) => name);
  expect(await runner.waitFor(head, others, 10_000)).toBe(head);
  await expect
    .poll(async () => (await runner.status()).find(({ name }) => name === 'picky'), { timeout: 10_000 })
    .toMatchObject({ state: 'halted', position: head - 2n, haltedAt: head - 1n, reason: 'cannot stand transfers' });
  await runner.stop();

  const again = await startRunner('poison', [...ALL_PROJECTIONS, picky(true)]);
  expect(await again.waitFor(head, undefined, 10_000)).toBe(head);
  const { rows } = await database.pool.query<{ position: bigint }>(
    'SELECT position FROM read_poison.seen ORDER BY position',
  );
  expect(rows.map(({ position }) => position)).toEqual(events.map((_, index) => BigInt(index) + 1n));
});

test.each([
  [
    'throws',
    (): bigint => {
      throw new Error('cannot stand transfers');
    },
    'cannot stand transfers',
  ],
  ['writes what the database refuses', (): bigint => 1n, 'duplicate key'],
])(
  'a rebuild that meets a poison event, which %s: that projection halts there, its live tables untouched; fixed code resumes',
  async (kind, poisoned, reason) => {
    const ledger = `halt-${kind.length}`;
    const [innocent = never(), ...others] = ALL_PROJECTIONS;
    const newer = { ...innocent, version: innocent.version + 1 };
    const runner = await startRunner(ledger, [innocent, ...others, pickyProjection(1, (position) => position)]);
    const events = [...opening, transferSent('t', 'alice', 'bob', 5), accountOpened('carol')];
    const head = await tellLog(database.ownerPool, ledger, events);
    expect(await runner.waitFor(head, undefined, 10_000)).toBe(head);
    await stopRunners();
    const live = await dumpTables(database.pool, readSchema(ledger));

    // Twice: a restart tries again, and halts again. The other projection of a new version is rebuilt all the same.
    for (let round = 0; round < 2; round += 1) {
      const halts: Halt[] = [];
      const halting = await startRunner(ledger, [newer, ...others, pickyProjection(2, poisoned)], (halt) =>
        halts.push(halt),
      );
      await expect
        .poll(async () => (await halting.status()).find(({ name }) => name === 'picky'), { timeout: 20_000 })
        .toMatchObject({ state: 'halted', haltedAt: head - 1n, reason: expect.stringContaining(reason) as string });
      expect(halts).toMatchObject([{ name: 'picky', haltedAt: head - 1n }]);
      const healthy = ALL_PROJECTIONS.map(({ name }) => name);
      expect(await halting.waitFor(head, healthy, 20_000)).toBe(head);
      expect(halting.reached(['picky'])).toBe(0n);
      await stopRunners();
      expect(await dumpTables(database.pool, readSchema(ledger))).toEqual(live);
    }

    const again = await startRunner(ledger, [newer, ...others, pickyProjection(2, (position) => position)]);
    expect(await again.waitFor(head, undefined, 20_000)).toBe(head);
    expect((await again.status()).map(({ state }) => state)).toEqual(Array(others.length + 2).fill('live'));
    expect(await dumpTables(database.pool, readSchema(ledger))).toEqual(live);
  },
);

test('of two runners one leads; when it goes the other takes over, and no event is applied twice', async () => {
  const first = await startRunner('two');
  const second = await startRunner('two');
  expect([first.isLeader(), second.isLeader()]).toEqual([true, false]);
  const middle = await tellLog(database.ownerPool, 'two', [...opening, transferSent('t1', 'alice', 'bob', 5)]);
  expect(await second.waitFor(middle, undefined, 10_000)).toBe(middle);
  await first.stop();
  const head = await tellLog(database.ownerPool, 'two', [transferSent('t2', 'bob', 'alice', 2)]);
  expect(await second.waitFor(head, undefined, 10_000)).toBe(head);
  expect(second.isLeader()).toBe(true);
  const live = await dumpTables(database.pool, readSchema('two'));
  await rebuildProjections({ pool: database.pool, ledger: 'two', projections: ALL_PROJECTIONS });
  expect(await dumpTables(database.pool, readSchema('two'))).toEqual(live);
});

test('a second writer that lost its lock without knowing writes nothing', async () => {
  const runner = await startRunner('guard');
  const middle = await tellLog(database.ownerPool, 'guard', opening);
  await runner.waitFor(middle, undefined, 10_000);
  await runner.stop();
  const client = await database.pool.connect();
  try {
    const checkpoints = await readCheckpoints(client, 'guard');
    const lane = (): Lane =>
      new Lane({
        ledger: 'guard',
        schema: readSchema('guard'),
        client,
        projections: ALL_PROJECTIONS.map((projection) => ({ projection, generation: 0n })),
        position: middle,
        context: checkpoints.get('accounts')?.context ?? { tip: null, policy: null },
        guarded: true,
      });
    await tellLog(database.ownerPool, 'guard', [transferSent('t', 'alice', 'bob', 5)]);
    const events = await readLog(client, 'guard', middle, 10);
    const [one, two] = [lane(), lane()];
    await one.apply(events);
    const before = await dumpTables(database.pool, readSchema('guard'));
    await expect(two.apply(events)).rejects.toBeInstanceOf(GuardLostError);
    expect(await dumpTables(database.pool, readSchema('guard'))).toEqual(before);
  } finally {
    client.release();
  }
});

test('a rebuild beside a live runner: readers never see less than before, and the result is the same', async () => {
  const { pool, ownerPool } = database;
  const runner = await startRunner('busy');
  const head = await tellLog(ownerPool, 'busy', opening);
  await runner.waitFor(head, undefined, 10_000);
  let isDone = false;
  let sent = 0;
  const write = async (): Promise<void> => {
    while (!isDone) {
      const events = Array.from({ length: 5 }, (_, i) => transferSent(`t${sent + i}`, 'alice', 'bob', 1));
      const position = await tellLog(ownerPool, 'busy', events);
      sent += events.length;
      await runner.waitFor(position, undefined, 10_000);
    }
  };
  const read = async (): Promise<void> => {
    let last = 0n;
    while (!isDone) {
      const { rows } = await pool.query<{ position: bigint; received: bigint }>(
        `SELECT p.position, coalesce(b.received_sats, 0) AS received FROM projection_checkpoint p
         LEFT JOIN LATERAL (SELECT received_sats FROM read_busy.account_books
           WHERE account_id = 'bob' ORDER BY height DESC, from_position DESC LIMIT 1) b ON true
         WHERE p.ledger = 'busy' AND p.name = 'accounts'`,
      );
      const { position = 0n, received = 0n } = rows[0] ?? {};
      expect(position).toBeGreaterThanOrEqual(last);
      expect(received).toBe(position - head);
      last = position;
    }
  };
  const work = Promise.all([write(), read()]);
  try {
    for (let i = 0; i < 3; i += 1) await rebuildProjections({ pool, ledger: 'busy', projections: ALL_PROJECTIONS });
  } finally {
    isDone = true;
    await work;
  }
  expect(sent).toBeGreaterThan(0);
  const live = await dumpTables(pool, readSchema('busy'));
  await runner.stop();
  await rebuildProjections({ pool, ledger: 'busy', projections: ALL_PROJECTIONS });
  expect(await dumpTables(pool, readSchema('busy'))).toEqual(live);
});

test('tables of another version are rebuilt at the start', async () => {
  const runner = await startRunner('version');
  const head = await tellLog(database.ownerPool, 'version', opening);
  await runner.waitFor(head, undefined, 10_000);
  await runner.stop();
  const newest = accounts.version + 1;
  const newer = ALL_PROJECTIONS.map((projection) =>
    projection.name === 'accounts' ? { ...projection, version: newest } : projection,
  );
  const again = await startRunner('version', newer);
  expect(await again.waitFor(head, undefined, 10_000)).toBe(head);
  const checkpoint = (await readCheckpoints(database.pool, 'version')).get('accounts');
  expect(checkpoint).toMatchObject({ version: newest, generation: 1n, position: head, state: 'live' });
});

test('read models that are not there, as after a restore without them, are rebuilt at the start, and under a running runner', async () => {
  const { pool, ownerPool } = database;
  const first = await startRunner('lost');
  const head = await tellLog(ownerPool, 'lost', [...opening, transferSent('t', 'alice', 'bob', 5)]);
  expect(await first.waitFor(head, undefined, 10_000)).toBe(head);
  await stopRunners();
  const live = await dumpTables(pool, readSchema('lost'));
  await ownerPool.query('DROP SCHEMA read_lost CASCADE');
  const second = await startRunner('lost');
  expect(await second.waitFor(head, undefined, 20_000)).toBe(head);
  expect(await dumpTables(pool, readSchema('lost'))).toEqual(live);

  await ownerPool.query('DROP TABLE read_lost.account_books');
  const next = await tellLog(ownerPool, 'lost', [transferSent('t2', 'alice', 'bob', 5)]);
  expect(await second.waitFor(next, undefined, 20_000)).toBe(next);
  await stopRunners();
  const healed = await dumpTables(pool, readSchema('lost'));
  await rebuildProjections({ pool, ledger: 'lost', projections: ALL_PROJECTIONS });
  expect(healed).toEqual(await dumpTables(pool, readSchema('lost')));
});

test('a read model that is ahead of the log, as after a restore of an older log, is rebuilt', async () => {
  const { pool, ownerPool } = database;
  const first = await startRunner('ahead');
  const head = await tellLog(ownerPool, 'ahead', [...opening, transferSent('t', 'alice', 'bob', 5)]);
  expect(await first.waitFor(head, undefined, 10_000)).toBe(head);
  await stopRunners();
  const live = await dumpTables(pool, readSchema('ahead'));
  await ownerPool.query(
    `UPDATE projection_checkpoint SET position = position + 1 WHERE ledger = 'ahead' AND name = 'accounts'`,
  );
  const second = await startRunner('ahead');
  const next = await tellLog(ownerPool, 'ahead', [accountOpened('carol')]);
  expect(await second.waitFor(next, undefined, 20_000)).toBe(next);
  const { rows } = await pool.query(`SELECT account_id FROM read_ahead.account WHERE account_id = 'carol'`);
  expect(rows).toHaveLength(1);
  expect(live['account']).toHaveLength(2);
});

test('tables that a newer version has no more go with the switch, and nobody else’s', async () => {
  const { pool } = database;
  const withTables = (version: number, names: readonly string[]): Projection =>
    defineProjection({
      name: 'shrinking',
      version,
      tables: Object.fromEntries(
        names.map((name) => [
          name,
          appendTable<{ position: bigint }>({
            name,
            columns: { position: { type: 'bigint' } },
            key: ['position'],
            position: 'position',
          }),
        ]),
      ),
      load: () => Promise.resolve(),
      apply: () => undefined,
    });
  const tables = async (): Promise<string[]> => {
    const { rows } = await pool.query<{ tablename: string }>(
      `SELECT tablename FROM pg_tables WHERE schemaname = 'read_shrink'`,
    );
    return rows.map(({ tablename }) => tablename).sort();
  };
  const runner = await startRunner('shrink', [...ALL_PROJECTIONS, withTables(1, ['kept', 'dropped'])]);
  const head = await tellLog(database.ownerPool, 'shrink', opening);
  expect(await runner.waitFor(head, undefined, 10_000)).toBe(head);
  await stopRunners();
  const before = await tables();
  expect(before).toContain('dropped');

  // A program that does not know this projection leaves its tables alone.
  await rebuildProjections({ pool, ledger: 'shrink', projections: ALL_PROJECTIONS });
  expect(await tables()).toEqual(before);

  const newer = await startRunner('shrink', [...ALL_PROJECTIONS, withTables(2, ['kept', 'added'])]);
  expect(await newer.waitFor(head, undefined, 20_000)).toBe(head);
  expect(await tables()).toEqual([...before.filter((name) => name !== 'dropped'), 'added'].sort());
});

test('a rebuild that is told to stop ends at once, wherever it is, and has changed nothing but what it had switched', async () => {
  const { pool, ownerPool } = database;
  const runner = await startRunner('told');
  const head = await tellLog(ownerPool, 'told', [...opening, transferSent('t', 'alice', 'bob', 5)]);
  expect(await runner.waitFor(head, undefined, 10_000)).toBe(head);
  const live = await dumpTables(pool, readSchema('told'));
  const generations = async (): Promise<bigint> =>
    [...(await readCheckpoints(pool, 'told')).values()].reduce((sum, { generation }) => sum + generation, 0n);
  for (const [phase, switched] of [
    ['replay', 0n],
    ['index', 0n],
    ['catch-up', 0n],
    ['switch', 1n],
  ] as const) {
    const before = await generations();
    const abort = new AbortController();
    const phases: string[] = [];
    const rebuild = rebuildProjections({
      pool,
      ledger: 'told',
      projections: ALL_PROJECTIONS,
      signal: abort.signal,
      onProgress: (progress) => {
        phases.push(progress.phase);
        if (progress.phase === phase) abort.abort();
      },
    });
    await expect(rebuild).rejects.toMatchObject({ name: 'AbortError' });
    if (phase !== 'replay') expect(phases.at(-1), 'nothing goes on afterwards').toBe(phase);
    expect(await generations()).toBe(before + switched);
    expect(await dumpTables(pool, readSchema('told')), `after ${phase}`).toEqual(live);
  }
});

test('a rebuild that is interrupted leaves the live tables alone; the next one cleans up; two at once: the second says so', async () => {
  const { pool, ownerPool } = database;
  const runner = await startRunner('torn');
  const head = await tellLog(ownerPool, 'torn', [...opening, transferSent('t', 'alice', 'bob', 5)]);
  await runner.waitFor(head, undefined, 10_000);
  const live = await dumpTables(pool, readSchema('torn'));
  for (const phase of ['replay', 'index', 'catch-up', 'switch']) {
    const rebuild = rebuildProjections({
      pool,
      ledger: 'torn',
      projections: ALL_PROJECTIONS,
      onProgress: (progress) => {
        if (progress.phase === phase) throw new Error(`interrupted in ${phase}`);
      },
    });
    const second = rebuildProjections({ pool, ledger: 'torn', projections: ALL_PROJECTIONS });
    const [one, two] = await Promise.allSettled([rebuild, second]);
    expect(
      [one, two].some((result) => result.status === 'rejected' && result.reason instanceof RebuildRunningError),
    ).toBe(true);
    expect(await dumpTables(pool, readSchema('torn')), `after ${phase}`).toEqual(live);
  }
  await rebuildProjections({ pool, ledger: 'torn', projections: ALL_PROJECTIONS });
  expect(await dumpTables(pool, readSchema('torn'))).toEqual(live);
  const { rows } = await pool.query(`SELECT nspname FROM pg_namespace WHERE starts_with(nspname, 'rebuild_torn_')`);
  expect(rows).toEqual([]);
  // The live runner goes on with the new tables.
  const next = await tellLog(ownerPool, 'torn', [transferSent('t2', 'alice', 'bob', 5)]);
  expect(await runner.waitFor(next, undefined, 10_000)).toBe(next);
});
