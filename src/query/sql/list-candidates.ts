import type { PlannedTransaction } from '../../domain/events/payout-events.js';
import type { ResolvedAsOf } from '../as-of.js';
import type { ReadDatabase } from './database.js';
import { transactionsOfPayout, versionAt } from './payment-sql.js';

export interface CandidateRecord {
  payoutId: string;
  candidate: number;
  kind: string;
  isVoid: boolean;
  preparedAt: Date;
  /** As planned; null where it is known only once it is signed. */
  plannedTxid: string | null;
  feeSats: bigint;
  feeRateSatsPerKvb: bigint;
  weight: number;
  feeSource: string;
  feeReason: string;
  plan: PlannedTransaction;
}

/** Candidates of these payouts as of a moment, in the order in which they were made. */
export async function listCandidates(
  { schema, rows }: ReadDatabase,
  at: ResolvedAsOf,
  payoutIds: readonly string[],
): Promise<Map<string, CandidateRecord[]>> {
  const found = await rows<{
    payout_id: string;
    candidate: number;
    kind: string;
    is_void: boolean;
    recorded_at: Date;
    fee_source: string;
    fee_reason: string;
    transaction: PlannedTransaction;
  }>(
    'query.list-candidates',
    `SELECT n.payout_id, n.candidate, k.kind, k.is_void, n.recorded_at, n.fee_source, n.fee_reason, n.transaction
     FROM ${schema}.candidate_plan n
     CROSS JOIN LATERAL (${versionAt(`${schema}.candidate`, 'x.payout_id = n.payout_id AND x.candidate = n.candidate', '$2')}) k
     WHERE n.payout_id = ANY($3::text[]) ORDER BY n.payout_id, n.candidate`,
    [at.position, at.ceiling, payoutIds],
  );
  const candidates = new Map<string, CandidateRecord[]>(payoutIds.map((id) => [id, []]));
  for (const row of found) {
    candidates.get(row.payout_id)?.push({
      payoutId: row.payout_id,
      candidate: row.candidate,
      kind: row.kind,
      isVoid: row.is_void,
      preparedAt: row.recorded_at,
      plannedTxid: row.transaction.txid,
      feeSats: BigInt(row.transaction.feeSats),
      feeRateSatsPerKvb: BigInt(row.transaction.feeRateSatsPerKvb),
      weight: row.transaction.weight,
      feeSource: row.fee_source,
      feeReason: row.fee_reason,
      plan: row.transaction,
    });
  }
  return candidates;
}

export interface SignedRecord {
  payoutId: string;
  candidate: number;
  kind: string;
  isVoid: boolean;
  txid: string;
  signedAt: Date;
  feeSats: bigint;
  weight: number;
  answer: string | null;
  answerDetail: string | null;
  answeredAt: Date | null;
  blockHeight: number | null;
  blockHash: string | null;
}

/** Signed transactions of these payouts as of a moment, in the order of signing, with what the node and the chain say of them. */
export async function listSigned(
  { schema, rows }: ReadDatabase,
  at: ResolvedAsOf,
  payoutIds: readonly string[],
): Promise<Map<string, SignedRecord[]>> {
  const found = await rows<{
    payout_id: string;
    candidate: number;
    kind: string;
    is_void: boolean;
    txid: string;
    recorded_at: Date;
    fee_sats: bigint;
    weight: number;
    answer: string | null;
    answer_detail: string | null;
    answered_at: Date | null;
    block_height: number | null;
    block_hash: string | null;
  }>(
    'query.list-signed',
    `SELECT n.payout_id, n.candidate, x.kind, x.is_void, n.txid, n.recorded_at, n.fee_sats, n.weight, x.answer,
       x.answer_detail, x.answered_at, t.block_height, t.block_hash
     FROM unnest($4::text[]) AS wanted(payout_id)
     CROSS JOIN LATERAL (${transactionsOfPayout(schema, 'wanted.payout_id')}) x
     JOIN ${schema}.signed_transaction n ON n.txid = x.txid
     LEFT JOIN LATERAL (
       SELECT t.block_height, t.block_hash FROM ${schema}.transfer t
       WHERE t.id = 'OUT:' || n.txid || ':0' AND t.from_position <= $2::bigint AND t.to_position > $2::bigint
         AND t.block_height <= $3::int) t ON true
     WHERE x.is_signed ORDER BY n.payout_id, n.position`,
    [at.position, at.chainPosition, at.ceiling, payoutIds],
  );
  const signed = new Map<string, SignedRecord[]>(payoutIds.map((id) => [id, []]));
  for (const row of found) {
    signed.get(row.payout_id)?.push({
      payoutId: row.payout_id,
      candidate: row.candidate,
      kind: row.kind,
      isVoid: row.is_void,
      txid: row.txid,
      signedAt: row.recorded_at,
      feeSats: row.fee_sats,
      weight: row.weight,
      answer: row.answer,
      answerDetail: row.answer_detail,
      answeredAt: row.answered_at,
      blockHeight: row.block_height,
      blockHash: row.block_hash,
    });
  }
  return signed;
}

/** The bytes of signed transactions, in hex. */
export async function readRawTransactions(
  { schema, rows }: ReadDatabase,
  txids: readonly string[],
): Promise<Map<string, string>> {
  const found = await rows<{ txid: string; transaction: string }>(
    'query.read-raw-transactions',
    `SELECT n.txid, n.transaction FROM ${schema}.signed_transaction n WHERE n.txid = ANY($1::text[])`,
    [txids],
  );
  return new Map(found.map(({ txid, transaction }) => [txid, transaction]));
}

/** Ids of the withdrawals of these payouts as of a moment, in the payout's order, without those that were taken out. */
export async function listMembers(
  { schema, rows }: ReadDatabase,
  at: ResolvedAsOf,
  payoutIds: readonly string[],
): Promise<Map<string, string[]>> {
  const found = await rows<{ payout_id: string; withdrawal_id: string }>(
    'query.list-members',
    `SELECT x.payout_id, x.withdrawal_id FROM (
       SELECT DISTINCT ON (m.payout_id, m.withdrawal_id) m.* FROM ${schema}.payout_member m
       WHERE m.payout_id = ANY($3::text[]) AND m.from_position <= $1::bigint AND m.height <= $2::int
       ORDER BY m.payout_id, m.withdrawal_id, m.from_position DESC) x
     WHERE NOT x.removed ORDER BY x.payout_id, x.n`,
    [at.position, at.ceiling, payoutIds],
  );
  const members = new Map<string, string[]>(payoutIds.map((id) => [id, []]));
  for (const { payout_id: payoutId, withdrawal_id: id } of found) members.get(payoutId)?.push(id);
  return members;
}
