import type { CandidatePrepared, NodeAnswerKind, PlannedTransaction } from '../../domain/events/payout-events.js';
import { appendTable, rowTable } from '../tables/table-definition.js';
import { flag, int, nullableInt, nullableText, nullableTime, prose, sats, text, time } from './columns.js';

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

export const candidateTables = {
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
};
