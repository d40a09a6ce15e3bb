import { POSITION_INFINITY } from '../../platform/postgres/pool.js';
import type { Queryable } from '../log-reader.js';
import { quoted, readSchema } from '../tables/identifiers.js';
import { deadCoins } from './dead-coins.js';

export interface SpendInBlock {
  blockHash: string;
  height: number;
  tipHeight: number;
  /** Those of the coins that it does not spend itself, and that can never be any more because of it. */
  dead: string[];
  /** It is a payment of a payout that holds none of the coins: what it pays, it pays for that one's withdrawals. */
  isOfAnother: boolean;
}

/**
 * The connected block in which a transaction spends one of these coins of ours, or what such a coin is made of. Undefined where
 * none is known.
 */
export async function readSpendInBlock(
  database: Queryable,
  ledger: string,
  txid: string,
  outpoints: readonly string[],
): Promise<SpendInBlock | undefined> {
  const schema = quoted(readSchema(ledger));
  const now = (alias: string): string => `${alias}.to_position = ${POSITION_INFINITY}`;
  const { rows } = await database.query<{
    hash: string;
    height: number;
    tip: number;
    dead: string | null;
    other: boolean;
  }>({
    name: `spend_in_block.${ledger}`,
    text: `
      WITH RECURSIVE wanted AS MATERIALIZED (SELECT unnest($2::text[]) AS outpoint),
      ${deadCoins(schema, 'wanted')},
      found AS (
        SELECT NULL AS dead, c.spent_height AS height
        FROM wanted w JOIN ${schema}.coin c
          ON c.txid = split_part(w.outpoint, ':', 1) AND c.vout = split_part(w.outpoint, ':', 2)::int AND ${now('c')}
        WHERE c.spent_txid = $1
        UNION
        SELECT d.outpoint, d.height FROM dead d WHERE d.by_txid = $1)
      SELECT b.hash, b.height, t.height AS tip, f.dead, EXISTS (
          SELECT FROM ${schema}.candidate_tx x
          WHERE x.txid = $1 AND ${now('x')} AND NOT EXISTS (
            SELECT FROM ${schema}.coin_reservation r
            WHERE r.outpoint = ANY($2::text[]) AND r.payout_id = x.payout_id AND ${now('r')})) AS other
      FROM found f JOIN ${schema}.block b ON b.height = f.height AND ${now('b')}
      JOIN ${schema}.chain_tip t ON ${now('t')}
      ORDER BY f.dead`,
    values: [txid, outpoints],
  });
  const [row] = rows;
  if (row === undefined) return undefined;
  return {
    blockHash: row.hash,
    height: row.height,
    tipHeight: row.tip,
    dead: rows.flatMap(({ dead }) => dead ?? []),
    isOfAnother: row.other,
  };
}
