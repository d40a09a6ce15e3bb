import { InvariantError } from '../../src/platform/assert.js';
import { ALL_PROJECTIONS } from '../../src/projections/all-projections.js';
import { verifyLedger } from '../../src/projections/verify/verify-ledger.js';
import type { TestDatabase } from '../support/database.js';
import { findProblems } from './checks.js';
import { Dice } from './dice.js';
import { cancel, resolve, signByHand } from './clients.js';
import { ACCOUNTS, POLICY, WALLETS } from './scenario.js';
import { Simulation } from './simulation.js';
import { deposit, redeposit } from './world.js';

/** Blocks after which everything must have ended once nobody lies any more. */
const MAX_LAST_BLOCKS = 120;

export interface Outcome {
  seed: number;
  steps: number;
  kills: number;
  events: bigint;
  withdrawals: Record<string, number>;
  types: Map<string, number>;
  /** What happened, a line each. */
  story: readonly string[];
}

/** A seed went wrong: the message has the seed, what is wrong, and all that happened. */
export class SimulationFailed extends Error {
  override readonly name = 'SimulationFailed';
}

/**
 * Runs so many steps of a seed, then the truth until everything has ended.
 *
 * @param run tells apart runs of one seed in one database
 * @param pause waited for before whatever happens: a slow machine
 */
export async function runSimulation(
  { pool }: Pick<TestDatabase, 'pool'>,
  seed: number,
  steps: number,
  run = '',
  pause?: () => Promise<void>,
): Promise<Outcome> {
  const simulation = new Simulation(pool, seed, run, pause);
  const fail = (problems: readonly string[]): SimulationFailed => {
    const story = simulation.story.join('\n');
    const command = `npm run simulate -- --seed ${seed} --steps ${steps}`;
    return new SimulationFailed(`${story}\n\n${problems.slice(0, 10).join('\n')}\n\n${command}`);
  };
  const check = async (): Promise<void> => {
    await simulation.lookAround();
    const problems = await findProblems(simulation, pool, simulation.ledger);
    if (problems.length > 0) throw fail(problems);
  };
  try {
    await simulation.open();
    await check();
    for (let step = 1; step <= steps; step++) {
      await simulation.step(step);
      await check();
    }
    await endInPeace(simulation, steps, check);
    const report = await verifyLedger({ pool, ledger: simulation.ledger, projections: ALL_PROJECTIONS });
    if (report.total > 0) throw fail(report.mismatches.map((mismatch) => JSON.stringify(mismatch)));
    const withdrawals: Record<string, number> = {};
    for (const { end } of simulation.auditor.withdrawals.values()) {
      withdrawals[end ?? 'open'] = (withdrawals[end ?? 'open'] ?? 0) + 1;
    }
    const { kills, auditor } = simulation;
    return { seed, steps, kills, events: auditor.position, withdrawals, types: auditor.types, story: simulation.story };
  } catch (error) {
    if (error instanceof SimulationFailed) throw error;
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
    throw fail([error instanceof InvariantError ? `BROKEN INVARIANT ${what}` : what]);
  } finally {
    await simulation.close();
  }
}

/** The faults stop: all that is open ends by itself, or by what a person decides, and nothing is left over. */
async function endInPeace(simulation: Simulation, steps: number, check: () => Promise<void>): Promise<void> {
  const dice = new Dice(simulation.seed, 'the end');
  const { auditor } = simulation;
  const open = (): string[] => [
    ...[...auditor.withdrawals]
      .filter(([, { isOver }]) => !isOver)
      .map(([id, { payoutId }]) => `${id} (${payoutId ?? 'waiting'})`),
    ...[...auditor.payouts].filter(([, { end }]) => end === null).map(([id]) => `payout ${id}`),
  ];
  simulation.truth(steps + 1);
  simulation.say('nobody lies any more');
  // Who was robbed gets new coins; what nobody pays for is withdrawn.
  redeposit(simulation);
  for (const account of ACCOUNTS) {
    for (const wallet of WALLETS) deposit(simulation, dice, account, 30_000_000n, wallet);
  }
  for (let block = 0; block < MAX_LAST_BLOCKS; block++) {
    simulation.truth(steps + 1 + block);
    simulation.passTime(900_000);
    simulation.chain.mine(1, 'mempool');
    await simulation.rest();
    await check();
    await signByHand(simulation, dice);
    await resolve(simulation, dice);
    if (open().length === 0) break;
    // What has waited so long has a bound on its fee that the network does not keep.
    const waiting = [...auditor.withdrawals].filter(([, { payoutId, isOver }]) => payoutId === null && !isOver);
    if (block > 2 * POLICY.finalAt)
      await cancel(
        simulation,
        waiting.map(([id]) => id),
      );
  }
  await simulation.rest();
  await check();
  const left = open();
  for (const [outpoint, payoutId] of auditor.reserved) left.push(`${outpoint} reserved by ${payoutId}`);
  const transit = auditor.books.of('transit');
  if (transit !== 0n) left.push(`transit is ${transit}`);
  for (const what of left) auditor.problem(`unresolved at the end: ${what}`);
  await check();
}
