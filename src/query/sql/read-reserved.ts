import type { ResolvedAsOf } from '../as-of.js';
import type { ReadDatabase } from './database.js';
import { validAt } from './fragments.js';

/**
 * The part of what these wallets hold, mature and in connected blocks, that payouts have reserved. What is reserved is a fact of the
 * books, what is held one of the chain: each is looked at where it counts.
 */
export async function readReserved(
  { schema, rows }: ReadDatabase,
  at: ResolvedAsOf,
  walletIds: readonly string[],
): Promise<Map<string, bigint>> {
  // Without a height all that is held now has a version that ends later: an index has those alone.
  const held =
    at.height === null
      ? 'r.to_position > $1::bigint AND r.from_position <= $1::bigint'
      : `r.from_position <= $1::bigint AND r.height <= $3::int AND NOT EXISTS (
          SELECT FROM ${schema}.coin_reservation l WHERE l.outpoint = r.outpoint AND l.from_position > r.from_position
            AND l.from_position <= $1::bigint AND l.height <= $3::int)`;
  const found = await rows<{ wallet_id: string; sats: bigint }>(
    `query.read-reserved${at.height === null ? '' : '-at-height'}`,
    `SELECT r.wallet_id, sum(k.amount_sats)::bigint AS sats
     FROM ${schema}.coin_reservation r
     JOIN ${schema}.coin k ON k.txid = split_part(r.outpoint, ':', 1) AND k.vout = split_part(r.outpoint, ':', 2)::int
     WHERE r.wallet_id = ANY($4::text[]) AND r.held AND ${held} AND ${validAt('k', '$2::bigint')}
       AND k.created_height <= $3::int AND (k.spent_height IS NULL OR k.spent_height > $3::int)
     GROUP BY r.wallet_id`,
    [at.position, at.chainPosition, at.ceiling, walletIds],
  );
  return new Map(found.map(({ wallet_id: id, sats }) => [id, sats]));
}

/** Which of these coins (`txid:vout`) a payout holds, and which payout. */
export async function readHolders(
  { schema, rows }: ReadDatabase,
  at: ResolvedAsOf,
  outpoints: readonly string[],
): Promise<Map<string, string>> {
  const found = await rows<{ outpoint: string; payout_id: string }>(
    'query.read-holders',
    `SELECT r.outpoint, r.payout_id FROM unnest($3::text[]) AS wanted(outpoint)
     CROSS JOIN LATERAL (
       SELECT x.* FROM ${schema}.coin_reservation x
       WHERE x.outpoint = wanted.outpoint AND x.from_position <= $1::bigint AND x.height <= $2::int
       ORDER BY x.from_position DESC LIMIT 1) r
     WHERE r.held`,
    [at.position, at.ceiling, outpoints],
  );
  return new Map(found.map(({ outpoint, payout_id: payoutId }) => [outpoint, payoutId]));
}
