import { POSITION_INFINITY } from '../../platform/postgres/pool.js';
import type { Queryable } from '../log-reader.js';
import type { Tip } from '../projection.js';
import { quoted, readSchema } from '../tables/identifiers.js';
import { deadCoins } from './dead-coins.js';

/** What the chain says of a payout, on the branch believed now. */
export interface PayoutChainFacts {
  tip: Tip;
  /** Its own transactions that are in connected blocks. */
  confirmed: readonly { txid: string; height: number; blockHash: string }[];
  /**
   * Spends of coins that it holds, in connected blocks, by transactions that are not its own; or of what such a coin is made of,
   * where it is in no block itself: a deposit that a reorg took off and that was paid to somebody else then.
   */
  foreign: readonly { outpoint: string; byTxid: string; height: number; blockHash: string }[];
  /** Height of the tip when a node first took each of its transactions. */
  takenAt: ReadonlyMap<string, number>;
}

interface Fact {
  kind: 'tip' | 'confirmed' | 'foreign' | 'taken';
  txid: string | null;
  outpoint: string | null;
  height: number;
  hash: string | null;
}

/** One statement, so one moment. Undefined where there is no such payout, or no chain. */
export async function readChainFacts(
  database: Queryable,
  ledger: string,
  payoutId: string,
): Promise<PayoutChainFacts | undefined> {
  const schema = quoted(readSchema(ledger));
  const now = (alias: string): string => `${alias}.to_position = ${POSITION_INFINITY}`;
  const { rows } = await database.query<Fact>({
    name: `work.chain_facts.${ledger}`,
    text: `
      WITH RECURSIVE own AS MATERIALIZED (
        SELECT x.txid, x.taken_height FROM ${schema}.candidate_tx x
        WHERE x.payout_id = $1 AND ${now('x')} AND (x.is_signed OR NOT x.is_void)),
      -- Its own change goes when another candidate of it confirms: that is as it should be.
      held AS MATERIALIZED (
        SELECT r.outpoint FROM ${schema}.coin_reservation r
        WHERE r.payout_id = $1 AND r.held AND ${now('r')}
          AND split_part(r.outpoint, ':', 1) NOT IN (SELECT o.txid FROM own o)),
      ${deadCoins(schema, 'held')}
      SELECT 'tip' AS kind, NULL AS txid, NULL AS outpoint, t.height, t.hash
      FROM ${schema}.chain_tip t
      WHERE ${now('t')} AND EXISTS (SELECT FROM ${schema}.payout_start s WHERE s.payout_id = $1)
      UNION ALL
      SELECT 'confirmed', o.txid, NULL, t.block_height, t.block_hash
      FROM own o JOIN ${schema}.transfer t ON t.id = 'OUT:' || o.txid || ':0'
      WHERE ${now('t')} AND t.block_height IS NOT NULL
      UNION ALL
      SELECT 'foreign', c.spent_txid, r.outpoint, c.spent_height, b.hash
      FROM ${schema}.coin_reservation r
      JOIN ${schema}.coin c ON c.txid = split_part(r.outpoint, ':', 1) AND c.vout = split_part(r.outpoint, ':', 2)::int
      JOIN ${schema}.block b ON b.height = c.spent_height AND ${now('b')}
      WHERE r.payout_id = $1 AND r.held AND ${now('r')} AND ${now('c')} AND c.spent_height IS NOT NULL
        AND c.spent_txid NOT IN (SELECT o.txid FROM own o)
      UNION ALL
      SELECT 'foreign', d.by_txid, d.outpoint, d.height, b.hash
      FROM dead d JOIN ${schema}.block b ON b.height = d.height AND ${now('b')}
      UNION ALL
      SELECT 'taken', o.txid, NULL, o.taken_height, NULL FROM own o WHERE o.taken_height IS NOT NULL`,
    values: [payoutId],
  });
  const tip = rows.find(({ kind }) => kind === 'tip');
  if (tip === undefined) return undefined;
  const of = (wanted: Fact['kind']): Fact[] => rows.filter(({ kind }) => kind === wanted);
  return {
    tip: { height: tip.height, hash: tip.hash ?? '' },
    confirmed: of('confirmed').map(({ txid, height, hash }) => ({ txid: txid ?? '', height, blockHash: hash ?? '' })),
    foreign: of('foreign').map(({ txid, outpoint, height, hash }) => ({
      outpoint: outpoint ?? '',
      byTxid: txid ?? '',
      height,
      blockHash: hash ?? '',
    })),
    takenAt: new Map(of('taken').map(({ txid, height }) => [txid ?? '', height])),
  };
}
