import { appendTable, rowTable } from '../tables/table-definition.js';
import { NOW, flag, int, nullableSats, nullableText, prose, sats, text, time } from './columns.js';

/**
 * Withdrawals as the books know them. `height` of a row: the tip's when its version was recorded; as of (P, H) counts the
 * version with the greatest position ≤ P and height ≤ H. What the chain says of a payment (its block, its confirmations) is in `transfer`
 * and is joined when it is asked: so the status is right on both axes.
 */
export interface WithdrawalRequestRow {
  withdrawal_id: string;
  account_id: string;
  wallet_id: string;
  address: string;
  script: string;
  amount_sats: bigint;
  max_fee_sats: bigint | null;
  confirmation_target: number;
  position: bigint;
  height: number;
  recorded_at: Date;
}

export type WithdrawalState = 'requested' | 'deferred' | 'assigned' | 'settled' | 'cancelled' | 'failed';

/** What is still to be done for a withdrawal on its own and its account's stream. */
export type WithdrawalDue = 'settle' | 'fail' | 'cancel';

export interface WithdrawalRow {
  withdrawal_id: string;
  wallet_id: string;
  requested_position: bigint;
  state: WithdrawalState;
  state_at: Date;
  /** From the moment that a payout names it. */
  payout_id: string | null;
  /** Its payout has let go of it. */
  is_removed: boolean;
  /** Why it waits, was cancelled or failed. */
  reason: string | null;
  detail: string | null;
  /** The account's share, once it is settled, and what paid. */
  fee_sats: bigint | null;
  txid: string | null;
  due: WithdrawalDue | null;
  /** Neither cancelled nor failed, and its payout is not closed. */
  is_open: boolean;
  height: number;
}

export const withdrawalTables = {
  request: appendTable<WithdrawalRequestRow>({
    name: 'withdrawal_request',
    columns: {
      withdrawal_id: text,
      account_id: text,
      wallet_id: text,
      address: { type: 'text' },
      script: text,
      amount_sats: sats,
      max_fee_sats: nullableSats,
      confirmation_target: int,
      position: sats,
      height: int,
      recorded_at: time,
    },
    key: ['withdrawal_id'],
    position: 'position',
    indexes: ['position', 'account_id, position', 'wallet_id, position'],
  }),
  withdrawal: rowTable<WithdrawalRow>({
    name: 'withdrawal',
    columns: {
      withdrawal_id: text,
      wallet_id: text,
      requested_position: sats,
      state: text,
      state_at: time,
      payout_id: nullableText,
      is_removed: flag,
      reason: prose,
      detail: prose,
      fee_sats: nullableSats,
      txid: nullableText,
      due: nullableText,
      is_open: flag,
      height: int,
    },
    key: ['withdrawal_id'],
    indexes: [
      // Open ones at a position: those whose version ended later.
      'to_position, requested_position WHERE is_open',
      'state, requested_position WHERE NOT is_open',
      `wallet_id, requested_position WHERE is_open AND payout_id IS NULL AND ${NOW}`,
      `due, requested_position WHERE due IS NOT NULL AND ${NOW}`,
    ],
  }),
};
