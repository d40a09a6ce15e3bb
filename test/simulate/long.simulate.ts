import { afterAll, beforeAll, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { runSimulation } from './run-simulation.js';

const numberOf = (name: string): number => {
  const value = Number(process.env[name]);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new Error(`${name} is missing: run this by \`npm run simulate\``);
  return value;
};
const first = numberOf('SIMULATE_SEED');
const steps = numberOf('SIMULATE_STEPS');
const seeds = Array.from({ length: numberOf('SIMULATE_SEEDS') }, (_, n) => first + n);

let db: TestDatabase;
beforeAll(async () => {
  db = await createTestDatabase();
});
afterAll(async () => {
  await db.drop();
});

it.each(seeds)(`seed %i, ${steps} steps`, async (seed) => {
  const { kills, events, withdrawals, types, story } = await runSimulation(db, seed, steps);
  const ends = Object.entries(withdrawals).map(([end, count]) => `${count} ${end}`);
  const seen = [...types].sort().map(([type, count]) => `${type} ${count}`);
  if (process.env['SIMULATE_STORY'] !== undefined) console.log(story.join('\n'));
  console.log(`seed ${seed}: ${ends.join(', ')}; ${kills} kills; ${events} events\n${seen.join(', ')}`);
});
