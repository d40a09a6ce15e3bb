import { POSITION_INFINITY } from '../../platform/postgres/pool.js';
import type { Queryable } from '../log-reader.js';
import { quoted, readSchema } from '../tables/identifiers.js';

export interface SpendInBlock {
  blockHash: string;
  height: number;
  tipHeight: number;
}

/** The connected block in which a transaction spends one of these coins of ours. Undefined where none is known. */
export async function readSpendInBlock(
  database: Queryable,
  ledger: string,
  txid: string,
  outpoints: readonly string[],
): Promise<SpendInBlock | undefined> {
  const schema = quoted(readSchema(ledger));
  const now = (alias: string): string => `${alias}.to_position = ${POSITION_INFINITY}`;
  const coins = outpoints.map((outpoint) => outpoint.split(':'));
  const { rows } = await database.query<{ hash: string; height: number; tip: number }>({
    name: `spend_in_block.${ledger}`,
    text: `
      SELECT b.hash, b.height, t.height AS tip
      FROM unnest($2::text[], $3::int[]) AS k(txid, vout)
      JOIN ${schema}.coin c ON c.txid = k.txid AND c.vout = k.vout AND ${now('c')}
      JOIN ${schema}.block b ON b.height = c.spent_height AND ${now('b')}
      JOIN ${schema}.chain_tip t ON ${now('t')}
      WHERE c.spent_txid = $1 LIMIT 1`,
    values: [txid, coins.map(([made = '']) => made), coins.map(([, vout]) => Number(vout))],
  });
  const [row] = rows;
  return row && { blockHash: row.hash, height: row.height, tipHeight: row.tip };
}
