import type pg from 'pg';
import type { Checkpoint } from '../checkpoint.js';
import { readLog } from '../log-reader.js';
import type { Projection } from '../projection.js';
import { readSchema } from '../tables/identifiers.js';
import { Lane } from './lane.js';
import type { Halt } from './lane.js';

/** Events per write while catching up: larger batches gain nothing and hold more memory. */
export const CATCH_UP_BATCH = 500;

/** A projection that can go on, and where it stands. */
export interface Ready {
  projection: Projection;
  checkpoint: Checkpoint;
}

export interface GatherOptions {
  ledger: string;
  announceOn?: string | undefined;
  /** A lane has more in the database. */
  onMoved: (lane: Lane) => void;
  onHalts: (halts: readonly Halt[]) => void;
}

/** One lane with everybody at the position of the foremost. Stragglers catch up here, the rearmost first. */
export async function gatherLane(
  { ledger, announceOn, onMoved, onHalts }: GatherOptions,
  client: pg.PoolClient,
  ready: readonly Ready[],
  signal: AbortSignal,
): Promise<Lane | undefined> {
  const sorted = [...ready].sort((a, b) => Number(a.checkpoint.position - b.checkpoint.position));
  let lane: Lane | undefined;
  for (const { projection, checkpoint } of sorted) {
    while (lane !== undefined && lane.names.length > 0 && lane.position < checkpoint.position) {
      signal.throwIfAborted();
      const missing = checkpoint.position - lane.position;
      const limit = missing < BigInt(CATCH_UP_BATCH) ? Number(missing) : CATCH_UP_BATCH;
      onHalts(await lane.apply(await readLog(client, ledger, lane.position, limit)));
    }
    const member = { projection, generation: checkpoint.generation };
    if (lane === undefined || lane.names.length === 0) {
      const { position, context } = checkpoint;
      lane = new Lane({
        ledger,
        schema: readSchema(ledger),
        client,
        projections: [member],
        position,
        context,
        guarded: true,
        announceOn,
        onMoved,
      });
    } else {
      lane.join([member]);
    }
  }
  return lane;
}
