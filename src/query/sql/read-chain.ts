import type { ReadDatabase } from './database.js';
import { validAt } from './fragments.js';

export interface TipRecord {
  height: number;
  hash: string;
  /** Greatest height that the tip ever had. */
  highest: number;
}

/** The tip at a position; undefined before the chain was opened. */
export async function readTip({ schema, rows }: ReadDatabase, position: bigint): Promise<TipRecord | undefined> {
  const [row] = await rows<TipRecord>(
    'query.read-tip',
    `SELECT t.height, t.hash, t.highest FROM ${schema}.chain_tip t
     WHERE t.id = 0 AND t.from_position <= $1::bigint ORDER BY t.from_position DESC LIMIT 1`,
    [position],
  );
  return row;
}

export interface ConnectedRecord {
  height: number;
  hash: string;
  from: bigint;
}

/** The blocks that are believed at a position to stand at these heights. */
export async function readConnected(
  { schema, rows }: ReadDatabase,
  position: bigint,
  heights: readonly number[],
): Promise<ConnectedRecord[]> {
  return rows(
    'query.read-connected',
    `SELECT b.height, b.hash, b.from_position AS "from" FROM ${schema}.block b
     WHERE b.height = ANY($2::int[]) AND ${validAt('b', '$1::bigint')}`,
    [position, heights],
  );
}

/** The last time up to a position that a block was connected. */
export async function readLastConnection(
  { schema, rows }: ReadDatabase,
  position: bigint,
  hash: string,
): Promise<{ height: number; from: bigint; to: bigint } | undefined> {
  const [row] = await rows<{ height: number; from: bigint; to: bigint }>(
    'query.read-last-connection',
    `SELECT b.height, b.from_position AS "from", b.to_position AS "to" FROM ${schema}.block b
     WHERE b.hash = $2::text AND b.from_position <= $1::bigint ORDER BY b.from_position DESC LIMIT 1`,
    [position, hash],
  );
  return row;
}

/** The clock that events are recorded by: the database's. */
export async function readClock({ rows }: ReadDatabase): Promise<Date> {
  const [row] = await rows<{ now: Date }>('query.read-clock', 'SELECT clock_timestamp() AS now', []);
  return row?.now ?? new Date(0);
}
