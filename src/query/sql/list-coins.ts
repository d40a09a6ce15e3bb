import type { ResolvedAsOf } from '../as-of.js';
import type { ReadDatabase } from './database.js';
import { validAt } from './fragments.js';

export interface CoinRecord {
  txid: string;
  vout: number;
  walletId: string;
  amountSats: bigint;
  script: string;
  address: string | null;
  /** Null while no connected block holds it. */
  height: number | null;
  seq: bigint;
}

export interface CoinPage {
  before: { seq: bigint; txid: string; vout: number } | undefined;
  limit: number;
}

interface Row {
  txid: string;
  vout: number;
  wallet_id: string;
  amount_sats: bigint;
  script: string;
  address: string | null;
  created_height: number | null;
  seq: bigint;
}

/**
 * Unspent coins of these wallets, newest first; `page` holds for each wallet. Coins in connected blocks, and those that lost
 * their block and may still confirm: the ones that `unconfirmedSats` counts.
 */
export async function listCoins(
  { schema, rows }: ReadDatabase,
  at: ResolvedAsOf,
  walletIds: readonly string[],
  page: CoinPage,
): Promise<Map<string, CoinRecord[]>> {
  const before = page.before ?? { seq: at.chainBound + 1n, txid: '', vout: 0 };
  const found = await rows<Row>(
    'query.list-coins',
    `SELECT c.* FROM unnest($3::text[]) AS wanted(wallet_id) CROSS JOIN LATERAL (
       SELECT k.txid, k.vout, k.wallet_id, k.amount_sats, k.script, k.address, k.seq,
         CASE WHEN k.created_height <= $2::int THEN k.created_height END AS created_height
       FROM ${schema}.coin k
       WHERE k.wallet_id = wanted.wallet_id AND k.seq <= $4::bigint
         AND (k.seq, k.txid, k.vout) < ($4::bigint, $5::text, $6::int)
         AND k.first_height <= $2::int AND ${validAt('k', '$1::bigint')}
         AND CASE WHEN k.created_height <= $2::int THEN k.spent_height IS NULL OR k.spent_height > $2::int
                  ELSE NOT k.coinbase AND (k.conflict_height IS NULL OR k.conflict_height > $2::int) END
       ORDER BY k.seq DESC, k.txid DESC, k.vout DESC LIMIT $7::int
     ) c ORDER BY c.wallet_id, c.seq DESC, c.txid DESC, c.vout DESC`,
    [at.chainPosition, at.ceiling, walletIds, before.seq, before.txid, before.vout, page.limit],
  );
  const coins = new Map<string, CoinRecord[]>(walletIds.map((id) => [id, []]));
  for (const row of found) {
    coins.get(row.wallet_id)?.push({
      txid: row.txid,
      vout: row.vout,
      walletId: row.wallet_id,
      amountSats: row.amount_sats,
      script: row.script,
      address: row.address,
      height: row.created_height,
      seq: row.seq,
    });
  }
  return coins;
}
