import type pg from 'pg';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { createTestDatabase } from '../../../test/support/database.js';
import type { TestDatabase } from '../../../test/support/database.js';
import { tellLog } from '../../../test/support/ledger-log.js';
import type { ToldEvent } from '../../../test/support/ledger-log.js';
import { dumpTables } from '../../../test/support/live-read-models.js';
import { pickyProjection } from '../../../test/support/picky-projection.js';
import {
  accountOpened,
  blockConnected,
  blockDisconnected,
  chainOpened,
  deposit,
  transferSent,
} from '../../../test/support/small-histories.js';
import type { RecordedEvent } from '../../eventstore/event-store.js';
import { ALL_PROJECTIONS } from '../all-projections.js';
import { ensureTables } from '../ensure-tables.js';
import { readLog } from '../log-reader.js';
import type { Projection } from '../projection.js';
import { rebuildProjections } from '../rebuild/rebuild-projections.js';
import { readSchema } from '../tables/identifiers.js';
import { GuardLostError } from './guard-lost-error.js';
import { Lane } from './lane.js';
import type { Halt } from './lane.js';
import { prepareSession } from './leadership.js';

let database: TestDatabase;
const clients: pg.PoolClient[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
});
const disconnect = (): void => {
  for (const client of clients.splice(0)) client.release(true);
};
afterEach(disconnect);
afterAll(async () => {
  await database.drop();
});

/** Refuses transfers, in the database: its row has the key of the first event's. */
const picky = pickyProjection(1, () => 1n);

const history = [
  ...chainOpened(),
  accountOpened('alice'),
  accountOpened('bob'),
  blockConnected(1, '1', '0', deposit('d', 'alice', 700)),
  blockConnected(2, '2', '1', deposit('e', 'bob', 500)),
  transferSent('t1', 'alice', 'bob', 5),
  blockDisconnected(2, '2', '1', 3),
  transferSent('t2', 'bob', 'alice', 1),
  blockConnected(2, '2b', '1', deposit('e', 'bob', 500)),
  transferSent('t3', 'alice', 'bob', 7),
];

/** A ledger with a history, in batches of three or of these lengths, and lanes at its beginning. */
async function ledgerToProject(
  ledger: string,
  projections: readonly Projection[] = ALL_PROJECTIONS,
  told: readonly ToldEvent[] = history,
  lengths: readonly number[] = [],
) {
  const { pool, ownerPool } = database;
  const head = await tellLog(ownerPool, ledger, told);
  const client = await connect();
  await ensureTables(client, ledger, projections);
  const batches: (readonly RecordedEvent[])[] = [];
  for (let after = 0n; after < head; after += BigInt(batches.at(-1)?.length ?? 0)) {
    batches.push(await readLog(client, ledger, after, lengths[batches.length] ?? 3));
  }
  const moves: bigint[] = [];
  const lane = async (onMoved = ({ position }: Lane) => void moves.push(position)): Promise<Lane> =>
    new Lane({
      ledger,
      schema: readSchema(ledger),
      client: await connect(),
      projections: projections.map((projection) => ({ projection, generation: 0n })),
      position: 0n,
      context: { tip: null, policy: null },
      guarded: true,
      onMoved,
    });
  const dump = () => dumpTables(pool, readSchema(ledger));
  /** What a rebuild makes of the log, which writes nothing before it has computed everything. */
  const rebuilt = async () => {
    disconnect();
    await rebuildProjections({ pool, ledger, projections: ALL_PROJECTIONS });
    return await dump();
  };
  return { head, batches, lane, moves, dump, rebuilt };
}

function never(): never {
  throw new Error('nobody is connected');
}

async function connect(): Promise<pg.PoolClient> {
  const client = await database.pool.connect();
  clients.push(client);
  await prepareSession(client);
  return client;
}

test('while the database writes a batch the next is computed, and only what is durable is told', async () => {
  const { batches, lane, moves, dump, rebuilt, head } = await ledgerToProject('ahead');
  const [first = [], second = []] = batches;
  const following = await lane();
  // Holds the write back where it moves the checkpoints.
  const holder = await connect();
  await holder.query(`BEGIN; SELECT FROM projection_checkpoint WHERE ledger = 'ahead' FOR UPDATE`);

  expect(await following.apply(first, second)).toEqual([]);
  expect([following.position, moves]).toEqual([0n, []]);
  const next = following.apply(second, batches[2]);
  await holder.query('COMMIT');
  expect(await next).toEqual([]);
  expect(moves[0]).toBe(3n);
  for (const [at, events] of batches.entries()) {
    if (at >= 2) expect(await following.apply(events, batches[at + 1])).toEqual([]);
  }
  expect(following.position).toBe(head);
  expect(moves).toEqual(batches.map((events) => events.at(-1)?.position));
  const live = await dump();
  expect(await rebuilt()).toEqual(live);
});

test('where a write fails, what was computed on top of it is not written either', async () => {
  const { batches, lane, dump } = await ledgerToProject('faster');
  const [first = [], second = [], third] = batches;
  const [faster, late] = [await lane(), await lane()];
  await faster.apply(first);
  const before = await dump();
  expect(await late.apply(first, second)).toEqual([]);
  await expect(late.apply(second, third)).rejects.toBeInstanceOf(GuardLostError);
  expect(late.position).toBe(0n);
  expect(await dump()).toEqual(before);
  // Who was faster goes on as if nobody had tried.
  expect(await faster.apply(second)).toEqual([]);
});

test('an event that the database refuses, found when the next batch is computed already, halts its projection before it', async () => {
  const { batches, lane, dump, rebuilt, head } = await ledgerToProject('refused', [...ALL_PROJECTIONS, picky]);
  const following = await lane();
  const halts: Halt[] = [];
  for (const [at, events] of batches.entries()) {
    halts.push(...(await following.apply(events, batches[at + 1])));
    if (halts.length > 0) break;
  }
  expect(halts).toMatchObject([
    { name: 'picky', haltedAt: 7n, reason: expect.stringContaining('duplicate') as string },
  ]);
  for (const events of batches) {
    const left = events.filter(({ position }) => position > following.position);
    expect(await following.apply(left)).toEqual([]);
  }
  expect(following.position).toBe(head);
  const { rows } = await database.pool.query('SELECT position FROM read_refused.seen ORDER BY position');
  expect(rows).toEqual([1n, 2n, 3n, 4n, 5n, 6n].map((position) => ({ position })));
  const live = await dump();
  expect(await rebuilt()).toEqual(live);
});

test('a batch that the database refused once is written the second time, and so is what was computed on top of it', async () => {
  const { batches, lane, dump, rebuilt, head } = await ledgerToProject('once');
  await database.ownerPool.query(`
    CREATE SEQUENCE refusals;
    CREATE FUNCTION refuse_once() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
      BEGIN
        IF nextval('refusals') = 1 THEN RAISE EXCEPTION 'not now' USING ERRCODE = '23514'; END IF;
        RETURN NULL;
      END $$;
    CREATE TRIGGER refuse_once AFTER INSERT ON read_once.account FOR EACH STATEMENT EXECUTE FUNCTION refuse_once()`);
  const following = await lane();
  for (const [at, events] of batches.entries()) expect(await following.apply(events, batches[at + 1])).toEqual([]);
  expect(following.position).toBe(head);
  const live = await dump();
  expect(await rebuilt()).toEqual(live);
});

test('a reorg that goes below what is kept in memory sees what the batch before it has left', async () => {
  const heights = Array.from({ length: 13 }, (_, at) => at + 1);
  const name = (height: number): string => String(height);
  const told = [
    ...chainOpened(),
    accountOpened('alice'),
    ...heights.map((height) =>
      blockConnected(height, name(height), name(height - 1), deposit(name(height), 'alice', height)),
    ),
    ...heights
      .slice(2)
      .reverse()
      .map((height) => blockDisconnected(height, name(height), name(height - 1), height + 1)),
    blockConnected(3, '3b', '2', deposit('x', 'alice', 1_000)),
  ];
  const { batches, lane, dump, rebuilt } = await ledgerToProject('below', ALL_PROJECTIONS, told, [15, 1, 12]);
  const following = await lane();
  const asked = vi.spyOn(clients.at(-1) ?? never(), 'query');
  for (const [at, events] of batches.entries()) expect(await following.apply(events, batches[at + 1])).toEqual([]);
  // Two read models look below at the same time: the batch before goes out once.
  const answers = await Promise.allSettled(asked.mock.results.map(({ value }) => value as unknown));
  expect(answers.filter(({ status }) => status === 'rejected')).toEqual([]);
  const live = await dump();
  expect(await rebuilt()).toEqual(live);
});

test('what fails in who is told of a write is not taken for the write', async () => {
  const { batches, lane } = await ledgerToProject('told');
  const following = await lane(() => {
    throw new Error('cannot stand news');
  });
  await expect(following.apply(batches[0] ?? [])).rejects.toThrow('cannot stand news');
  expect(following.position).toBe(3n);
});

test('what cannot be read says so when it is its turn, after what comes before it is written', async () => {
  const { batches, lane, moves } = await ledgerToProject('unknown');
  const [first = [], second = []] = batches;
  const strange = second.map((event, at) => (at === 1 ? { ...event, type: 'NobodyKnowsThis' } : event));
  const following = await lane();
  expect(await following.apply(first, strange)).toEqual([]);
  expect(moves).toEqual([3n]);
  const halts = await following.apply(strange);
  expect(halts).toHaveLength(ALL_PROJECTIONS.length);
  expect(halts[0]).toMatchObject({ haltedAt: 5n, reason: expect.stringContaining('NobodyKnowsThis') as string });
  expect(following.position).toBe(4n);
});
