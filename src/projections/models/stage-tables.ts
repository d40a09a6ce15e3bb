import { POSITION_INFINITY } from '../../platform/postgres/pool.js';
import { rowTable } from '../tables/table-definition.js';
import { flag, NOW, nullableInt, nullableText, nullableTime, sats, text, time } from './columns.js';

/**
 * How far a payment is, as the chain stands at a position: `mined` is in a connected block. It is `confirming` or `completed` by the
 * tip's height, which is compared when it is asked: a block changes no row but those of the payments in it.
 *
 * It is what the withdrawals and payouts themselves say, but for those that are `is_unusual`: of these it may say too little, so
 * whoever lists or counts looks at each of them.
 */
export type PaymentStage = 'started' | 'prepared' | 'signed' | 'broadcast' | 'mined';

/** An open payout: to find those of a status, and to count them. */
export interface PayoutStageRow {
  payout_id: string;
  started_position: bigint;
  stage: PaymentStage;
  /** The stage, but for payouts that are halted or given up. */
  standing: PaymentStage | 'halted' | 'failed';
  since: Date;
  /** Heights of the tip from which on a mined one is completed, and final. */
  complete_height: number | null;
  final_height: number | null;
  started_at: Date;
  /** When its block was connected; null while it is in none. */
  mined_at: Date | null;
  /** When it last lost its block, while it is in none. */
  lost_at: Date | null;
  /** As of the payout's work. */
  is_unusual: boolean;
}

/** A withdrawal that is not over: to find those of a status, those that are overdue, and to count them. */
export interface WithdrawalStageRow {
  withdrawal_id: string;
  requested_position: bigint;
  payout_id: string | null;
  stage: Exclude<PaymentStage, 'started'> | 'requested';
  since: Date;
  complete_height: number | null;
  amount_sats: bigint;
  requested_at: Date;
  /** Its payout is, or is over, and the withdrawal's own end is not recorded so far. */
  is_unusual: boolean;
}

/** For whoever asks as of a position that the rows have passed meanwhile. */
const RECENTLY_ENDED = `to_position WHERE to_position < ${POSITION_INFINITY}`;

/** What is counted by its stage. */
const USUAL = `${NOW} AND NOT is_unusual`;

export const stageTables = {
  payoutStage: rowTable<PayoutStageRow>({
    name: 'payout_stage',
    columns: {
      payout_id: text,
      started_position: sats,
      stage: text,
      standing: text,
      since: time,
      complete_height: nullableInt,
      final_height: nullableInt,
      started_at: time,
      mined_at: nullableTime,
      lost_at: nullableTime,
      is_unusual: flag,
    },
    key: ['payout_id'],
    indexes: [
      `standing, started_position, complete_height, final_height WHERE ${NOW}`,
      // Whole rows, as far as they are counted.
      `standing, complete_height, final_height, from_position WHERE ${USUAL}`,
      `started_position WHERE is_unusual AND ${NOW}`,
      RECENTLY_ENDED,
    ],
  }),
  withdrawalStage: rowTable<WithdrawalStageRow>({
    name: 'withdrawal_stage',
    columns: {
      withdrawal_id: text,
      requested_position: sats,
      payout_id: nullableText,
      stage: text,
      since: time,
      complete_height: nullableInt,
      amount_sats: sats,
      requested_at: time,
      is_unusual: flag,
    },
    key: ['withdrawal_id'],
    indexes: [
      `stage, requested_position, complete_height WHERE ${NOW}`,
      // Whole rows, as far as they are counted.
      `stage, since, complete_height, amount_sats, from_position WHERE ${USUAL}`,
      `requested_position WHERE is_unusual AND ${NOW}`,
      RECENTLY_ENDED,
    ],
  }),
};
