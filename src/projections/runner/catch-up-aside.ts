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
    const onHalts = (halts: readonly Halt[]): void => {
      halted.push(...halts);
    };
    const onMoved = ({ names, position }: Lane): void => {
      progress.tell(names, position);
    };
    const lane = await gatherLane({ ledger: options.ledger, onMoved, onHalts }, client, behind, signal);
    while (lane !== undefined && lane.names.length > 0 && main.position - lane.position > BigInt(CATCH_UP_BATCH)) {
      if (signal.aborted) break;
      onHalts(await lane.apply(await readLog(client, options.ledger, lane.position, CATCH_UP_BATCH)));
    }
    return halted;
  } finally {
    client.release(true);
  }
}
