import type pg from 'pg';
import { readLog } from '../log-reader.js';
import type { ProgressTracker } from '../progress.js';
import { CATCH_UP_BATCH, gatherLane } from './gather-lane.js';
import type { Ready } from './gather-lane.js';
import type { Halt, Lane } from './lane.js';
import { prepareSession } from './leadership.js';

/**
 * Brings projections that are far behind close to the main lane, on a connection of their own, while that one goes on.
 * @returns those that were halted on the way
 */
export async function catchUpAside(
  options: { pool: pg.Pool; ledger: string },
  behind: readonly Ready[],
  main: Lane,
  progress: ProgressTracker,
  signal: AbortSignal,
): Promise<Halt[]> {
  if (behind.length === 0) return [];
  const client = await options.pool.connect();
  const halted: Halt[] = [];
  try {
    await prepareSession(client);
    const report = (lane: Lane, halts: readonly Halt[]): void => {
      progress.tell(lane.names, lane.position);
      halted.push(...halts);
    };
    const lane = await gatherLane(options, client, behind, signal, report);
    while (lane !== undefined && lane.names.length > 0 && main.position - lane.position > BigInt(CATCH_UP_BATCH)) {
      if (signal.aborted) break;
      report(lane, await lane.apply(await readLog(client, options.ledger, lane.position, CATCH_UP_BATCH)));
    }
    return halted;
  } finally {
    client.release(true);
  }
}
