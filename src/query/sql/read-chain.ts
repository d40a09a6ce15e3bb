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

export interface HeightRecord {
  /** The tip at the position. */
  tipHeight: number;
  /** Of the block that is believed to stand at the height; null where none does. */
  hash: string | null;
  from: bigint | null;
  /** Since when a block has stood on top of that height; null where none does. */
  above: bigint | null;
}

/** Tip and height at a position, in one statement; undefined before the chain was opened. */
export async function readHeight(
  { schema, rows }: ReadDatabase,
  position: bigint,
  height: number,
): Promise<HeightRecord | undefined> {
  const [row] = await rows<HeightRecord>(
    'query.read-height',
    `SELECT t.height AS "tipHeight", b.hash, b.from_position AS "from", a.from_position AS above
     FROM (SELECT t.height FROM ${schema}.chain_tip t
           WHERE t.id = 0 AND t.from_position <= $1::bigint ORDER BY t.from_position DESC LIMIT 1) t
     LEFT JOIN LATERAL (SELECT b.hash, b.from_position FROM ${schema}.block b
                        WHERE b.height = $2::int AND ${validAt('b', '$1::bigint')} LIMIT 1) b ON true
     LEFT JOIN LATERAL (SELECT a.from_position FROM ${schema}.block a
                        WHERE a.height = $2::int + 1 AND ${validAt('a', '$1::bigint')} LIMIT 1) a ON true`,
    // One more than the height must still be a height.
    [position, Math.min(height, MAX_HEIGHT - 1)],
  );
  return row;
}

const MAX_HEIGHT = 2_147_483_647;

export interface ConnectionRecord {
  height: number;
  from: bigint;
  to: bigint;
  above: bigint | null;
}

/** The last time up to a position that a block was connected; undefined where it never was. */
export async function readLastConnection(
  { schema, rows }: ReadDatabase,
  position: bigint,
  hash: string,
): Promise<ConnectionRecord | undefined> {
  const [row] = await rows<ConnectionRecord>(
    'query.read-last-connection',
    `SELECT b.height, b.from_position AS "from", b.to_position AS "to", a.from_position AS above
     FROM (SELECT b.height, b.from_position, b.to_position FROM ${schema}.block b
           WHERE b.hash = $2::text AND b.from_position <= $1::bigint ORDER BY b.from_position DESC LIMIT 1) b
     LEFT JOIN LATERAL (SELECT a.from_position FROM ${schema}.block a
                        WHERE a.height = b.height + 1 AND ${validAt('a', '$1::bigint')} LIMIT 1) a ON true`,
    [position, hash],
  );
  return row;
}

/** The clock that events are recorded by: the database's. */
export async function readClock({ rows }: ReadDatabase): Promise<Date> {
  const [row] = await rows<{ now: Date }>('query.read-clock', 'SELECT clock_timestamp() AS now', []);
  return row?.now ?? new Date(0);
}
