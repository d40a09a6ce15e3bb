import { POSITION_INFINITY } from '../../platform/postgres/pool.js';

/**
 * SQL, expressions for `WITH RECURSIVE`: `dead(outpoint, by_txid, height)` has those of the coins `wanted(outpoint)` that can never be
 * spent any more, though nobody has spent them: the transaction that makes one, or an unconfirmed payment of ours that it builds
 * on, is in no connected block, and the transaction `by_txid` in the block at `height` spends an input of it. A coin that a connected
 * block holds costs one look into an index, and there its ancestors are not looked at.
 *
 * @param schema quoted
 */
export function deadCoins(schema: string, wanted: string): string {
  const now = (alias: string): string => `${alias}.to_position = ${POSITION_INFINITY}`;
  const isCoin = (outpoint: string): string =>
    `c.txid = split_part(${outpoint}, ':', 1) AND c.vout = split_part(${outpoint}, ':', 2)::int AND ${now('c')}`;
  return `
    absent(outpoint, txid) AS (
      SELECT w.outpoint, split_part(w.outpoint, ':', 1)
      FROM ${wanted} w LEFT JOIN ${schema}.coin c ON ${isCoin('w.outpoint')}
      WHERE c.created_height IS NULL
      UNION
      SELECT a.outpoint, split_part(i.outpoint, ':', 1)
      FROM absent a JOIN ${schema}.signed_transaction s ON s.txid = a.txid
      CROSS JOIN LATERAL unnest(s.inputs) AS i(outpoint)
      LEFT JOIN ${schema}.coin c ON ${isCoin('i.outpoint')}
      WHERE c.created_height IS NULL),
    dead(outpoint, by_txid, height) AS (
      SELECT a.outpoint, k.by_txid, k.height
      FROM absent a JOIN ${schema}.conflict k ON k.txid = a.txid AND ${now('k')}
      UNION
      SELECT a.outpoint, c.spent_txid, c.spent_height
      FROM absent a JOIN ${schema}.signed_transaction s ON s.txid = a.txid
      CROSS JOIN LATERAL unnest(s.inputs) AS i(outpoint)
      JOIN ${schema}.coin c ON ${isCoin('i.outpoint')}
      WHERE c.spent_height IS NOT NULL AND c.spent_txid <> a.txid)`;
}
