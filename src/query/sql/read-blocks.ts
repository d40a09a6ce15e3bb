import type { ResolvedAsOf } from '../as-of.js';
import type { ReadDatabase } from './database.js';
import { validAt } from './fragments.js';

export interface BlockRecord {
  hash: string;
  height: number;
  /** Null where the ledger was told only hash and height of its first block. */
  prevHash: string | null;
  time: Date | null;
  connected: boolean;
  /** A position at which it was connected, for what it held then. */
  memberAt: bigint;
}

interface Row {
  hash: string;
  height: number;
  prev_hash: string | null;
  time: bigint | null;
  to_position: bigint;
}

/** Blocks by hash that were connected at any time up to the moment, abandoned ones included. */
export async function readBlocks(
  { schema, rows }: ReadDatabase,
  at: ResolvedAsOf,
  hashes: readonly string[],
): Promise<Map<string, BlockRecord>> {
  const found = await rows<Row & { connected: boolean }>(
    'query.read-blocks',
    `SELECT DISTINCT ON (b.hash) b.hash, b.height, b.prev_hash, b.time, b.to_position,
       (${validAt('b', '$2::bigint')}) AS connected
     FROM ${schema}.block b
     WHERE b.hash = ANY($3::text[]) AND b.from_position <= $1::bigint AND b.height <= $4::int
     ORDER BY b.hash, (${validAt('b', '$2::bigint')}) DESC, b.from_position DESC`,
    [at.position, at.chainPosition, hashes, at.ceiling],
  );
  return new Map(found.map((row) => [row.hash, toRecord(row, row.connected, at)]));
}

/** The block that is believed to stand at this height, if the chain reaches so far. */
export async function readBlockAtHeight(
  { schema, rows }: ReadDatabase,
  at: ResolvedAsOf,
  height: number,
): Promise<BlockRecord | undefined> {
  if (height > at.ceiling) return undefined;
  const [row] = await rows<Row>(
    'query.read-block-at-height',
    `SELECT b.hash, b.height, b.prev_hash, b.time, b.to_position FROM ${schema}.block b
     WHERE b.height = $2::int AND ${validAt('b', '$1::bigint')}`,
    [at.chainPosition, height],
  );
  return row === undefined ? undefined : toRecord(row, true, at);
}

function toRecord(row: Row, connected: boolean, at: ResolvedAsOf): BlockRecord {
  return {
    hash: row.hash,
    height: row.height,
    prevHash: row.prev_hash,
    time: row.time === null ? null : new Date(Number(row.time) * 1000),
    connected,
    // An abandoned block's interval has an end, and that is where it was taken off.
    memberAt: connected ? at.chainPosition : row.to_position - 1n,
  };
}
