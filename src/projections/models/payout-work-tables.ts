import { rowTable } from '../tables/table-definition.js';
import { NOW, flag, int, nullableInt, nullableText, sats, text } from './columns.js';

export interface CoinReservationRow {
  outpoint: string;
  wallet_id: string;
  payout_id: string;
  amount_sats: bigint;
  /** False: it was given back. */
  held: boolean;
  height: number;
}

/**
 * What a payout waits for on the chain, on the branch believed now; for the workflow, which asks about the present only. Gone when
 * the payout is over and its coins are given back.
 */
export interface PayoutWorkRow {
  payout_id: string;
  wallet_id: string;
  started_position: bigint;
  complete_at: number;
  final_at: number;
  confirmation_target: number;
  /** The payment that a connected block holds. */
  confirmed_txid: string | null;
  confirmed_height: number | null;
  is_signed: boolean;
  is_halted: boolean;
  is_settled: boolean;
  /** The chain has no more to say: closed, cancelled, or resolved as paid or given up. */
  is_over: boolean;
  /** Closed or cancelled. */
  is_closed: boolean;
  coins_held: number;
  /** Height of the tip at which it can be settled, or closed; null while it cannot be told, and when it is done. */
  complete_height: number | null;
  final_height: number | null;
  /** Height of the tip at which it misses its target; null unless it is broadcast and in no block. */
  target_height: number | null;
  /** What `target_height` is while it is in no block: of the newest candidate that a node took, the target if it is the first, else a block. */
  next_target: number | null;
  /** Signed, in no block, not halted, not over: what may be broadcast again. */
  is_unconfirmed: boolean;
  /**
   * Its payment may be another one than `confirmed_txid` says: a person has resolved it, a payment was signed that is void, or a coin
   * of it was spent by what was not known as its own, which may turn out to be a payment that its signer sent out.
   */
  is_unusual: boolean;
}

/** A held coin that a connected block shows spent by a transaction that is not the payout's own. */
export interface ForeignSpendRow {
  outpoint: string;
  payout_id: string;
  by_txid: string;
  block_hash: string;
  block_height: number;
}

export const payoutWorkTables = {
  reservation: rowTable<CoinReservationRow>({
    name: 'coin_reservation',
    columns: { outpoint: text, wallet_id: text, payout_id: text, amount_sats: sats, held: flag, height: int },
    key: ['outpoint'],
    indexes: ['wallet_id, to_position WHERE held', 'payout_id'],
  }),
  work: rowTable<PayoutWorkRow>({
    name: 'payout_work',
    columns: {
      payout_id: text,
      wallet_id: text,
      started_position: sats,
      complete_at: int,
      final_at: int,
      confirmation_target: int,
      confirmed_txid: nullableText,
      confirmed_height: nullableInt,
      is_signed: flag,
      is_halted: flag,
      is_settled: flag,
      is_over: flag,
      is_closed: flag,
      coins_held: int,
      complete_height: nullableInt,
      final_height: nullableInt,
      target_height: nullableInt,
      next_target: nullableInt,
      is_unconfirmed: flag,
      is_unusual: flag,
    },
    key: ['payout_id'],
    indexes: [
      `complete_height WHERE complete_height IS NOT NULL AND ${NOW}`,
      `final_height WHERE final_height IS NOT NULL AND ${NOW}`,
      `target_height WHERE target_height IS NOT NULL AND ${NOW}`,
      `wallet_id, started_position WHERE is_unconfirmed AND ${NOW}`,
      `payout_id WHERE is_unconfirmed AND ${NOW}`,
      `payout_id WHERE is_over AND ${NOW}`,
    ],
  }),
  foreign: rowTable<ForeignSpendRow>({
    name: 'foreign_spend',
    columns: { outpoint: text, payout_id: text, by_txid: text, block_hash: text, block_height: int },
    key: ['outpoint'],
    group: 'payout_id',
    indexes: ['payout_id'],
  }),
};
