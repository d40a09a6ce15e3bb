import { rowTable } from '../tables/table-definition.js';
import { flag, nullableInt, nullableText, sats, text } from './columns.js';

/**
 * What a payment may choose from now: coins that a connected block holds and nobody has spent. And coins that a payout holds,
 * whatever became of them, so that a block that brings one back finds it held.
 *
 * What was at another position is in `coin` and `coin_reservation`. It stands apart from `coin`, whose rows end in place for it: an
 * index over what is unspent now would have an entry to write for every end.
 */
export interface SpendableCoinRow {
  txid: string;
  vout: number;
  wallet_id: string;
  amount_sats: bigint;
  script: string | null;
  coinbase: boolean;
  branch: number | null;
  index: number | null;
  /** Null where it is not there to be spent: held for a payout alone. */
  created_height: number | null;
  created_hash: string | null;
  /** The payout. */
  held_by: string | null;
}

/** Condition of the index: free to be chosen. */
export const IS_FREE = 'created_height IS NOT NULL AND held_by IS NULL';

export const spendableCoinTable = rowTable<SpendableCoinRow>({
  name: 'spendable_coin',
  columns: {
    txid: text,
    vout: { type: 'int' },
    wallet_id: text,
    amount_sats: sats,
    script: nullableText,
    coinbase: flag,
    branch: nullableInt,
    index: nullableInt,
    created_height: nullableInt,
    created_hash: nullableText,
    held_by: nullableText,
  },
  key: ['txid', 'vout'],
  presentOnly: true,
  indexes: [`wallet_id, amount_sats WHERE ${IS_FREE}`],
});
