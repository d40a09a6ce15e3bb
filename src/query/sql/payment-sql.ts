import type { ResolvedAsOf } from '../as-of.js';
import { validAt } from './fragments.js';

/** Parameters of everything here: `$1` position, `$2` chain position, `$3` height, `$4` the tip's height, `$5` ledger. */
export function paymentMoment(at: ResolvedAsOf, ledger: string): unknown[] {
  return [at.position, at.chainPosition, at.ceiling, at.tip?.height ?? null, ledger];
}

/**
 * The version of a row of the books as of the moment: the last one that was recorded by then with the tip at or below the height.
 * A lateral subquery over the key's index; `condition` names the row as `x`.
 */
export function versionAt(table: string, condition: string, height = '$3'): string {
  return `SELECT x.* FROM ${table} x WHERE ${condition} AND x.from_position <= $1::bigint AND x.height <= ${height}::int
    ORDER BY x.from_position DESC LIMIT 1`;
}

/**
 * Where the payment of payout `p` stands on the chain as of the moment: the one of its transactions that a connected block holds,
 * else one that lost its block. Every input of a payment is ours, so its first one is a transfer.
 */
export function chainOfPayment(schema: string): string {
  // Without a block it stands where it does since it lost the last one, whatever became of conflicting ones meanwhile.
  const lastLost = `SELECT max(c.to_position) FROM ${schema}.transfer c
        WHERE c.id = t.id AND c.block_height IS NOT NULL AND c.to_position <= $2::bigint`;
  const transfer = `x.txid, t.block_height, t.block_hash, t.block_height <= $3::int AS is_confirmed,
        CASE WHEN t.block_height IS NULL THEN coalesce((${lastLost}), t.from_position) ELSE t.from_position END AS changed_position`;
  return `SELECT * FROM (
      SELECT ${transfer}
      FROM (${transactionsOfPayout(schema, 'p.payout_id')}) x
      JOIN ${schema}.transfer t ON t.id = 'OUT:' || x.txid || ':0' AND ${validAt('t', '$2::bigint')}
      WHERE x.kind = 'payment' AND t.first_height <= $3::int
        AND (NOT x.is_void OR (x.is_signed AND t.block_height <= $3::int))
      UNION ALL
      SELECT ${transfer}
      FROM ${schema}.transfer t CROSS JOIN (SELECT p.resolved_txid AS txid) x
      WHERE p.resolved = 'paid' AND t.txid = x.txid AND t.direction = 'OUT' AND t.first_height <= $3::int
        AND ${validAt('t', '$2::bigint')}
    ) t ORDER BY t.is_confirmed DESC NULLS LAST, t.changed_position DESC LIMIT 1`;
}

/**
 * Joins the one row of `table` that fits by its key, for each row before it. Joined as a whole, a planner that takes the rows before
 * for many would read the table for a handful of them.
 */
export function lookUp(table: string, name: string, condition: string): string {
  return `CROSS JOIN LATERAL (SELECT x.* FROM ${table} x WHERE ${condition} LIMIT 1) ${name}`;
}

/** The newest signed payment of payout `p` that still may pay: asked for rows that are answered, not for those that are counted. */
export function newestPayment(schema: string): string {
  return `SELECT x.txid FROM (${transactionsOfPayout(schema, 'p.payout_id')}) x
    WHERE x.is_signed AND NOT x.is_void AND x.kind = 'payment' ORDER BY x.candidate DESC, x.txid LIMIT 1`;
}

/** Every transaction that a payout has or would have, in its version as of the moment. */
export function transactionsOfPayout(schema: string, payoutId: string): string {
  return `SELECT DISTINCT ON (c.txid) c.* FROM ${schema}.candidate_tx c
    WHERE c.payout_id = ${payoutId} AND c.from_position <= $1::bigint AND c.height <= $3::int
    ORDER BY c.txid, c.from_position DESC`;
}

/** Confirmations of `chain`, 0 where no connected block holds it. */
export const CONFIRMATIONS = 'CASE WHEN chain.is_confirmed THEN $4::int - chain.block_height + 1 ELSE 0 END';

/** How far the payment of payout `p` (started as `s`) is, apart from what people decided. */
export const PAYMENT_STATUS = `CASE
  WHEN chain.is_confirmed AND ${CONFIRMATIONS} >= s.complete_at THEN 'completed'
  WHEN chain.is_confirmed THEN 'confirming'
  WHEN chain.txid IS NOT NULL OR p.broadcast_at IS NOT NULL THEN 'broadcast'
  WHEN p.signed_at IS NOT NULL THEN 'signed'
  WHEN p.prepared_at IS NOT NULL THEN 'prepared'
  END`;

/**
 * When the chain last changed it: `changed` has the time at which its block was connected, or taken off. One look-up each: joined as a
 * whole, the log would be read from its beginning where many are open.
 */
export const CHAIN_CHANGED = `LEFT JOIN LATERAL (SELECT o.recorded_at FROM outbox o
    WHERE o.ledger = $5::text AND o.position = chain.changed_position LIMIT 1) changed ON true`;
