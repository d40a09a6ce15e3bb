import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { runSimulation } from './run-simulation.js';

let db: TestDatabase;
beforeAll(async () => {
  db = await createTestDatabase();
});
afterAll(async () => {
  await db.drop();
});

describe('withdrawals against a node and a signer that lie, on a chain that reorganises, in processes that are killed and both lead', () => {
  it.each([2, 6, 27])(
    'seed %i: nobody is paid twice, and nothing is left over',
    async (seed) => {
      const { withdrawals } = await runSimulation(db, seed, 40);
      expect(withdrawals['settled']).toBeGreaterThan(0);
    },
    240_000,
  );

  it('the same seed tells the same story, however long everything takes', async () => {
    const one = await runSimulation(db, 11, 12);
    const other = await runSimulation(db, 11, 12, 'again', () => sleep(Math.random() * 5));
    expect(other.story).toEqual(one.story);
  }, 240_000);
});
