import type { Signer } from '../../domain/events/wallet-events.js';
import type { Handles } from '../projection.js';
import { appendTable, rowTable } from '../tables/table-definition.js';
import { candidateTables } from './candidate-tables.js';
import {
  NOW,
  flag,
  int,
  nullableInt,
  nullableSats,
  nullableText,
  nullableTime,
  prose,
  sats,
  text,
  time,
} from './columns.js';
import { payoutWorkTables } from './payout-work-tables.js';
import { stageTables } from './stage-tables.js';
import { withdrawalTables } from './withdrawal-tables.js';

export interface PayoutStartRow {
  payout_id: string;
  wallet_id: string;
  signer: Signer;
  confirmation_target: number;
  complete_at: number;
  final_at: number;
  position: bigint;
  height: number;
  recorded_at: Date;
}

/** A withdrawal of a payout. */
export interface PayoutMemberRow {
  payout_id: string;
  withdrawal_id: string;
  n: number;
  removed: boolean;
  height: number;
}

/** `paid` and `failed` were stated by a person, and are closed next. After `pay-again` a payout is `started` again. */
export type PayoutPhase = 'started' | 'prepared' | 'signed' | 'closed' | 'cancelled' | 'paid' | 'failed';

export interface PayoutRow {
  payout_id: string;
  wallet_id: string;
  started_position: bigint;
  phase: PayoutPhase;
  is_open: boolean;
  /** Withdrawals in it, without those that were taken out. */
  withdrawals: number;
  candidates: number;
  signed: number;
  /** First of each since the payout was started, or started over. */
  prepared_at: Date | null;
  signed_at: Date | null;
  broadcast_at: Date | null;
  /** Why it waits. */
  reason: string | null;
  detail: string | null;
  bump_pending: boolean;
  bump_refused: string | null;
  bump_refused_detail: string | null;
  halted_at: Date | null;
  halted_outpoint: string | null;
  halted_by_txid: string | null;
  halted_block_hash: string | null;
  halted_height: number | null;
  resolved: string | null;
  resolved_note: string | null;
  resolved_txid: string | null;
  settled_at: Date | null;
  settled_txid: string | null;
  fee_sats: bigint | null;
  house_fee_sats: bigint | null;
  closed_txid: string | null;
  extra_fee_sats: bigint | null;
  /** Of a closed one: the tip's height from which on its payment is final. */
  final_height: number | null;
  height: number;
}

/**
 * Withdrawals and payouts as the books know them. `height` of a row: the tip's when its version was recorded; as of (P, H) counts the
 * version with the greatest position ≤ P and height ≤ H. What the chain says of a payment (its block, its confirmations) is in `transfer`
 * and is joined when it is asked: so the status is right on both axes.
 */
export const payoutTables = {
  ...withdrawalTables,
  start: appendTable<PayoutStartRow>({
    name: 'payout_start',
    columns: {
      payout_id: text,
      wallet_id: text,
      signer: text,
      confirmation_target: int,
      complete_at: int,
      final_at: int,
      position: sats,
      height: int,
      recorded_at: time,
    },
    key: ['payout_id'],
    position: 'position',
    indexes: ['position', 'wallet_id, position'],
  }),
  payout: rowTable<PayoutRow>({
    name: 'payout',
    columns: {
      payout_id: text,
      wallet_id: text,
      started_position: sats,
      phase: text,
      is_open: flag,
      withdrawals: int,
      candidates: int,
      signed: int,
      prepared_at: nullableTime,
      signed_at: nullableTime,
      broadcast_at: nullableTime,
      reason: nullableText,
      detail: prose,
      bump_pending: flag,
      bump_refused: nullableText,
      bump_refused_detail: prose,
      halted_at: nullableTime,
      halted_outpoint: nullableText,
      halted_by_txid: nullableText,
      halted_block_hash: nullableText,
      halted_height: nullableInt,
      resolved: nullableText,
      resolved_note: prose,
      resolved_txid: nullableText,
      settled_at: nullableTime,
      settled_txid: nullableText,
      fee_sats: nullableSats,
      house_fee_sats: nullableSats,
      closed_txid: nullableText,
      extra_fee_sats: nullableSats,
      final_height: nullableInt,
      height: int,
    },
    key: ['payout_id'],
    indexes: [
      'to_position, started_position WHERE is_open',
      'phase, started_position WHERE NOT is_open',
      `started_position WHERE NOT is_open AND resolved = 'give-up'`,
      // Of what is over: what a reorg may have opened again, and what people have resolved.
      'final_height, from_position WHERE NOT is_open AND final_height IS NOT NULL',
      'payout_id WHERE NOT is_open AND resolved IS NOT NULL',
      `payout_id WHERE is_open AND ${NOW}`,
      'to_position, payout_id WHERE halted_by_txid IS NOT NULL',
      `phase, payout_id WHERE is_open AND ${NOW}`,
      `payout_id WHERE bump_pending AND ${NOW}`,
      `payout_id WHERE is_open AND reason = 'node-refused' AND ${NOW}`,
    ],
  }),
  member: rowTable<PayoutMemberRow>({
    name: 'payout_member',
    columns: { payout_id: text, withdrawal_id: text, n: int, removed: flag, height: int },
    key: ['payout_id', 'withdrawal_id'],
    group: 'payout_id',
    indexes: ['withdrawal_id'],
  }),
  ...candidateTables,
  ...payoutWorkTables,
  ...stageTables,
};

export type PayoutTables = Handles<typeof payoutTables>;
