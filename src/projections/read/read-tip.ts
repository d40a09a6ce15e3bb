import type { Queryable } from '../log-reader.js';
import { quoted, readSchema } from '../tables/identifiers.js';

export interface TipAt {
  height: number;
  hash: string;
  /** Greatest height that the tip ever had. */
  highest: number;
}

/** The tip after the event at `position`; null where the chain was not opened yet. */
export async function readTip(database: Queryable, ledger: string, position: bigint): Promise<TipAt | null> {
  const { rows } = await database.query<TipAt>({
    name: `read_tip.${ledger}`,
    text: `SELECT height, hash, highest FROM ${quoted(readSchema(ledger))}.chain_tip
           WHERE id = 0 AND from_position <= $1 ORDER BY from_position DESC LIMIT 1`,
    values: [position],
  });
  return rows[0] ?? null;
}
