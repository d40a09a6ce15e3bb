import type { Handles } from '../projection.js';
import type { CandidatePrepared, NodeAnswerKind, PlannedTransaction } from '../../domain/events/payout-events.js';
import type { Signer } from '../../domain/events/wallet-events.js';
import { POSITION_INFINITY } from '../../platform/postgres/pool.js';
import { appendTable, rowTable } from '../tables/table-definition.js';

/**
 * Withdrawals and payouts as the books know them. `height` of a row: the tip's when its version was recorded; as of (P, H) counts the
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
  height: number;
}

export interface CandidateRow {
  payout_id: string;
  candidate: number;
  kind: CandidateKind;
  is_void: boolean;
  height: number;
}

export type CandidateKind = 'payment' | 'child';

/** As it was to be signed. */
export interface CandidatePlanRow {
  payout_id: string;
  candidate: number;
  transaction: PlannedTransaction;
  fee_source: CandidatePrepared['feeSource'];
  fee_reason: string;
  position: bigint;
  height: number;
  recorded_at: Date;
}

/** A txid that a candidate has or will have, and what the node last said to it. */
export interface CandidateTxRow {
  txid: string;
  payout_id: string;
  candidate: number;
  kind: CandidateKind;
  is_signed: boolean;
  /** Not to be signed any more. What was signed before is the payout's own nevertheless: it may be in any block. */
  is_void: boolean;
  answer: NodeAnswerKind | null;
  answer_detail: string | null;
  answered_at: Date | null;
  /** Height of the tip when a node first took it. */
  taken_height: number | null;
  height: number;
}

/** Signed by us, or to be signed: a signer that broadcasts on its own broadcasts what was prepared. */
export function isOwnTransaction(row: CandidateTxRow | undefined): row is CandidateTxRow {
  return row !== undefined && (row.is_signed || !row.is_void);
}

export interface SignedTransactionRow {
  txid: string;
  payout_id: string;
  candidate: number;
  /** Raw, in hex. */
  transaction: string;
  inputs: string[];
  change_vouts: number[];
  fee_sats: bigint;
  weight: number;
  position: bigint;
  height: number;
  recorded_at: Date;
}

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
  /** Of the newest candidate that a node took, plus the target: what `target_height` is while it is in no block. */
  next_target: number | null;
  /** Signed, in no block, not halted, not over: what may be broadcast again. */
  is_unconfirmed: boolean;
}

/** A held coin that a connected block shows spent by a transaction that is not the payout's own. */
export interface ForeignSpendRow {
  outpoint: string;
  payout_id: string;
  by_txid: string;
  block_hash: string;
  block_height: number;
}

const text = { type: 'text', plain: true } as const;
const nullableText = { type: 'text', plain: true, nullable: true } as const;
const prose = { type: 'text', nullable: true } as const;
const int = { type: 'int' } as const;
const nullableInt = { type: 'int', nullable: true } as const;
const flag = { type: 'boolean' } as const;
const sats = { type: 'bigint' } as const;
const nullableSats = { type: 'bigint', nullable: true } as const;
const time = { type: 'timestamptz' } as const;
const nullableTime = { type: 'timestamptz', nullable: true } as const;

const NOW = `to_position = ${POSITION_INFINITY}`;

export const payoutTables = {
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
  member: rowTable<PayoutMemberRow>({
    name: 'payout_member',
    columns: { payout_id: text, withdrawal_id: text, n: int, removed: flag, height: int },
    key: ['payout_id', 'withdrawal_id'],
    group: 'payout_id',
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
      height: int,
    },
    key: ['payout_id'],
    indexes: [
      'to_position, started_position WHERE is_open',
      'phase, started_position WHERE NOT is_open',
      `payout_id WHERE is_open AND ${NOW}`,
      'to_position, payout_id WHERE halted_by_txid IS NOT NULL',
      `phase, payout_id WHERE is_open AND ${NOW}`,
      `payout_id WHERE bump_pending AND ${NOW}`,
    ],
  }),
  candidate: rowTable<CandidateRow>({
    name: 'candidate',
    columns: { payout_id: text, candidate: int, kind: text, is_void: flag, height: int },
    key: ['payout_id', 'candidate'],
    group: 'payout_id',
  }),
  plan: appendTable<CandidatePlanRow>({
    name: 'candidate_plan',
    columns: {
      payout_id: text,
      candidate: int,
      transaction: { type: 'jsonb' },
      fee_source: text,
      fee_reason: { type: 'text' },
      position: sats,
      height: int,
      recorded_at: time,
    },
    key: ['payout_id', 'candidate'],
    position: 'position',
  }),
  candidateTx: rowTable<CandidateTxRow>({
    name: 'candidate_tx',
    columns: {
      txid: text,
      payout_id: text,
      candidate: int,
      kind: text,
      is_signed: flag,
      is_void: flag,
      answer: nullableText,
      answer_detail: prose,
      answered_at: nullableTime,
      taken_height: nullableInt,
      height: int,
    },
    key: ['txid'],
    group: 'payout_id',
    indexes: ['payout_id'],
  }),
  signed: appendTable<SignedTransactionRow>({
    name: 'signed_transaction',
    columns: {
      txid: text,
      payout_id: text,
      candidate: int,
      transaction: text,
      inputs: { type: 'text[]' },
      change_vouts: { type: 'jsonb' },
      fee_sats: sats,
      weight: int,
      position: sats,
      height: int,
      recorded_at: time,
    },
    key: ['txid'],
    position: 'position',
    indexes: ['payout_id, candidate'],
  }),
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

export type PayoutTables = Handles<typeof payoutTables>;
