import { readCheckpoints } from './checkpoint.js';
import type { ProjectionState } from './checkpoint.js';
import type { Queryable } from './log-reader.js';
import type { Projection } from './projection.js';

export interface ProjectionStatus {
  name: string;
  position: bigint;
  /** Events of the log that are not in it yet. */
  lagEvents: bigint;
  state: ProjectionState;
  /** Why it is halted, and before which event. */
  reason: string | null;
  haltedAt: bigint | null;
}

/** Where each read model stands, from the database: the same answer in every process. */
export async function readProjectionStatus(
  database: Queryable,
  ledger: string,
  projections: readonly Projection[],
): Promise<ProjectionStatus[]> {
  const checkpoints = await readCheckpoints(database, ledger);
  // After the checkpoints: no lag is ever negative.
  const { rows } = await database.query<{ position: bigint }>('SELECT position FROM ledger_head WHERE ledger = $1', [
    ledger,
  ]);
  const head = rows[0]?.position ?? 0n;
  return projections.map(({ name, version }) => {
    const checkpoint = checkpoints.get(name);
    if (checkpoint === undefined || checkpoint.version !== version) {
      // Its tables are of no use to this version, wherever they stand. Halted: an event stopped the rebuild.
      const stopped = checkpoint?.state === 'halted' ? checkpoint : undefined;
      const { state = 'rebuilding', reason = null, haltedAt = null } = stopped ?? {};
      return { name, position: 0n, lagEvents: head, state, reason, haltedAt };
    }
    const { position, state, reason, haltedAt } = checkpoint;
    return { name, position, lagEvents: head - position, state, reason, haltedAt };
  });
}
