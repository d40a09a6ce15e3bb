import type { ResolvedAsOf } from '../as-of.js';
import type { ReadDatabase } from './database.js';
import { validAt } from './fragments.js';

export interface ReorgRecord {
  position: bigint;
  recordedAt: Date;
  forkHeight: number;
  depth: number;
  disconnected: string[];
  connected: string[];
}

interface Row {
  start_position: bigint;
  recorded_at: Date;
  fork_height: number;
  depth: number;
  disconnected: string[];
  connected: string[];
}

/** Newest first, after the one that began at `before`. */
export async function listReorgs(
  { schema, rows }: ReadDatabase,
  at: ResolvedAsOf,
  page: { before: bigint | undefined; limit: number },
): Promise<ReorgRecord[]> {
  const found = await rows<Row>(
    'query.list-reorgs',
    `SELECT r.start_position, r.recorded_at, r.fork_height, r.depth, r.disconnected, r.connected FROM ${schema}.reorg r
     WHERE r.start_position < $2::bigint AND ${validAt('r', '$1::bigint')}
     ORDER BY r.start_position DESC LIMIT $3::int`,
    [at.position, page.before ?? at.position + 1n, page.limit],
  );
  return found.map((row) => ({
    position: row.start_position,
    recordedAt: row.recorded_at,
    forkHeight: row.fork_height,
    depth: row.depth,
    disconnected: row.disconnected,
    connected: row.connected,
  }));
}
