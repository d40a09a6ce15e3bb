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

describe('withdrawals against a node and a signer that lie, on a chain that reorganises, in a process that is killed', () => {
  it.each([2, 6, 27])(
    'seed %i: nobody is paid twice, and nothing is left over',
    async (seed) => {
      const { withdrawals } = await runSimulation(db, seed, 50);
      expect(withdrawals['settled']).toBeGreaterThan(0);
    },
    180_000,
  );
});
