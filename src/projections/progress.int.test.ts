import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase } from '../../test/support/database.js';
import type { TestDatabase } from '../../test/support/database.js';
import { ALL_PROJECTIONS } from './all-projections.js';
import { insertCheckpoint } from './checkpoint.js';
import type { Queryable } from './log-reader.js';
import { ProgressTracker } from './progress.js';

let database: TestDatabase;
const names = ALL_PROJECTIONS.map(({ name }) => name);

beforeAll(async () => {
  database = await createTestDatabase();
  const client = await database.pool.connect();
  for (const projection of ALL_PROJECTIONS) await insertCheckpoint(client, 'main', projection);
  client.release();
});
afterAll(async () => {
  await database.drop();
});

/** A database whose answers are as real as they are late: each waits to be let go. */
function lateDatabase(): { database: Queryable; letGo: (() => void)[] } {
  const letGo: (() => void)[] = [];
  const query = async (...args: Parameters<typeof database.pool.query>): Promise<unknown> => {
    const result = await (database.pool.query(...args) as unknown as Promise<unknown>);
    await new Promise<void>((resolve) => letGo.push(resolve));
    return result;
  };
  return { database: { query: query as unknown as Queryable['query'] }, letGo };
}

async function until(condition: () => boolean): Promise<void> {
  await expect.poll(condition, { timeout: 10_000 }).toBe(true);
}

test('an answer of the database that was under way when the runner told more sets nothing back', async () => {
  const late = lateDatabase();
  const progress = new ProgressTracker(late.database, 'main', ALL_PROJECTIONS);
  const heard: bigint[] = [];
  progress.onAdvanced((position) => heard.push(position));
  const refreshed = progress.refresh();
  await until(() => late.letGo.length > 0);
  progress.tell(names, 5n);
  for (const go of late.letGo) go();
  await refreshed;
  expect(progress.reached()).toBe(5n);
  await until(() => heard.length > 0);
  expect(heard.at(-1)).toBe(5n);
  progress.close();
});

test('the tip is known at the position that the runner told last, and at no other', () => {
  const progress = new ProgressTracker(database.ownerPool, 'main', ALL_PROJECTIONS);
  const tip = { height: 7, hash: '7'.repeat(64) };
  expect(progress.tipAt(0n)).toBeUndefined();
  progress.tell(names, 4n, null);
  expect(progress.tipAt(4n)).toBeNull();
  progress.tell(names, 5n, tip);
  expect([4n, 5n, 6n].map((position) => progress.tipAt(position))).toEqual([undefined, tip, undefined]);
  // Who brings up a straggler says nothing of the tip.
  progress.tell(names.slice(0, 1), 3n);
  expect(progress.tipAt(3n)).toBeUndefined();
  expect(progress.tipAt(5n)).toEqual(tip);
  progress.close();
});

test('of two answers the one to the later question counts, whichever comes last', async () => {
  const late = lateDatabase();
  const progress = new ProgressTracker(late.database, 'main', ALL_PROJECTIONS);
  const first = progress.refresh();
  await until(() => late.letGo.length === 1);
  await database.ownerPool.query(`UPDATE projection_checkpoint SET position = 7 WHERE ledger = 'main'`);
  const second = progress.refresh();
  await until(() => late.letGo.length === 2);
  late.letGo[1]?.();
  await second;
  expect(progress.reached()).toBe(7n);
  late.letGo[0]?.();
  await first;
  expect(progress.reached()).toBe(7n);
  progress.close();
});

test('who waits where another process leads is answered soon, however many others come meanwhile', async () => {
  await database.ownerPool.query(`UPDATE projection_checkpoint SET position = 9 WHERE ledger = 'main'`);
  const progress = new ProgressTracker(database.pool, 'main', ALL_PROJECTIONS);
  let isAnswered = false;
  const first = progress.waitFor(9n, undefined, 60_000).then((reached) => {
    isAnswered = true;
    return reached;
  });
  const others: Promise<bigint>[] = [];
  // Each of them asks for what is not there yet, and more often than the table is looked at.
  while (!isAnswered) {
    others.push(progress.waitFor(10n, undefined, 60_000));
    expect(others.length).toBeLessThan(2_000);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  expect(await first).toBe(9n);
  progress.close();
  await Promise.all(others);
});

test('the tip comes with the checkpoints where another process leads, and what was just asked is not asked again', async () => {
  await database.ownerPool.query(
    `UPDATE projection_checkpoint SET position = 9, tip_height = 3, tip_hash = 'aa' WHERE ledger = 'main'`,
  );
  const progress = new ProgressTracker(database.pool, 'main', ALL_PROJECTIONS);
  await progress.refresh();
  expect(progress.tipAt(9n)).toEqual({ height: 3, hash: 'aa' });
  // One of them is behind, as while it is rebuilt: the tip is that of its position.
  await database.ownerPool.query(
    `UPDATE projection_checkpoint SET position = 8, tip_height = 2, tip_hash = 'bb' WHERE ledger = 'main' AND name = $1`,
    [names[0]],
  );
  await progress.refresh(60_000);
  expect(progress.reached()).toBe(9n);
  await progress.refresh();
  expect(progress.reached()).toBe(8n);
  expect([8n, 9n].map((position) => progress.tipAt(position))).toEqual([{ height: 2, hash: 'bb' }, undefined]);
  progress.close();
});

test('what is announced is asked for at once; many announcements are one more question', async () => {
  const late = lateDatabase();
  const progress = new ProgressTracker(late.database, 'main', ALL_PROJECTIONS);
  progress.ask();
  expect(late.letGo).toHaveLength(0);
  progress.onAdvanced(() => undefined);
  for (let n = 0; n < 5; n += 1) progress.ask();
  await until(() => late.letGo.length === 1);
  for (let n = 0; n < 5; n += 1) progress.ask();
  late.letGo[0]?.();
  await until(() => late.letGo.length === 2);
  late.letGo[1]?.();
  progress.close();
});

test('a question that is never answered does not keep others from being asked', async () => {
  const late = lateDatabase();
  const progress = new ProgressTracker(late.database, 'main', ALL_PROJECTIONS);
  await database.ownerPool.query(`UPDATE projection_checkpoint SET position = 12 WHERE ledger = 'main'`);
  const waiting = progress.waitFor(12n, undefined, 60_000);
  // The first hangs for good; the next is answered.
  await until(() => late.letGo.length === 2);
  late.letGo[1]?.();
  expect(await waiting).toBe(12n);
  progress.close();
});
