import type { ResolvedAsOf } from '../as-of.js';
import type { ReadDatabase } from './database.js';
import {
  CHAIN_CHANGED,
  chainOfPayment,
  CONFIRMATIONS,
  lookUp,
  newestPayment,
  PAYMENT_STATUS,
  paymentMoment,
  versionAt,
} from './payment-sql.js';
import { payoutCandidates } from './payout-candidates.js';
import type { PayoutStatus } from './payout-status.js';
import { allStagesAt, listAmong, movedPayouts } from './stage-sql.js';

export interface PayoutRecord {
  payoutId: string;
  walletId: string;
  signer: string;
  confirmationTarget: number;
  completeAt: number;
  finalAt: number;
  startedPosition: bigint;
  startedAt: Date;
  status: PayoutStatus;
  statusSince: Date | null;
  txid: string | null;
  confirmations: number;
  blockHash: string | null;
  /** What was settled: the payment's fee, and the part of it that is the house's. */
  feeSats: bigint | null;
  houseFeeSats: bigint | null;
  extraFeeSats: bigint | null;
  settledAt: Date | null;
  waitReason: string | null;
  waitDetail: string | null;
  bumpPending: boolean;
  bumpRefused: string | null;
  bumpRefusedDetail: string | null;
  halt: { at: Date; outpoint: string; byTxid: string; blockHash: string; height: number } | null;
  resolution: { outcome: string; note: string; byTxid: string } | null;
}

export interface PayoutCriteria {
  walletId?: string;
  status?: PayoutStatus;
}

interface Row {
  payout_id: string;
  wallet_id: string;
  signer: string;
  confirmation_target: number;
  complete_at: number;
  final_at: number;
  position: bigint;
  recorded_at: Date;
  status: PayoutStatus;
  status_since: Date | null;
  txid: string | null;
  confirmations: number;
  block_hash: string | null;
  fee_sats: bigint | null;
  house_fee_sats: bigint | null;
  extra_fee_sats: bigint | null;
  settled_at: Date | null;
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
}

/** These payouts as of a moment; those that were not started by then are left out. */
export async function readPayouts(
  database: ReadDatabase,
  at: ResolvedAsOf,
  payoutIds: readonly string[],
): Promise<Map<string, PayoutRecord>> {
  const rows = await database.rows<Row>(
    'query.read-payouts',
    `SELECT q.* FROM (${payoutsSql(database.schema, '', 'AND s.payout_id = ANY($6::text[])')}) q`,
    [...paymentMoment(at, database.ledger), payoutIds],
  );
  return new Map(rows.map((row) => [row.payout_id, toRecord(row)]));
}

/** Newest first, after the one that was started at `before`. */
export async function listPayouts(
  database: ReadDatabase,
  at: ResolvedAsOf,
  criteria: PayoutCriteria,
  page: { before: bigint | undefined; limit: number },
): Promise<PayoutRecord[]> {
  const { schema, ledger } = database;
  const values: unknown[] = [...paymentMoment(at, ledger), page.before ?? at.position + 1n, page.limit, at.bookBound];
  const parameter = (value: unknown): string => `$${values.push(value)}`;
  const conditions = ['AND s.position < $6::bigint AND s.position <= $8::bigint'];
  if (criteria.walletId !== undefined) conditions.push(`AND s.wallet_id = ${parameter(criteria.walletId)}::text`);
  const { status } = criteria;
  const answer = status === undefined ? '' : `WHERE q.status = ${parameter(status)}::text`;
  const list = (
    among: string,
  ): string => `SELECT q.* FROM (${payoutsSql(schema, among, conditions.join(' '))}) q ${answer}
     ORDER BY q.position DESC LIMIT $7::int`;
  const candidates = payoutCandidates(schema, at, status, criteria.walletId === undefined ? '$7::int' : undefined);
  if (candidates === undefined) return (await database.rows<Row>('query.list-payouts', list(''), values)).map(toRecord);
  return (await listAmong<Row>(database, 'query.list-payouts', candidates, list, values, page.limit)).map(toRecord);
}

/** Payouts that are not over, or that a reorg has opened again, by status: for metrics, health and pages. */
export async function countOpenPayouts(
  database: ReadDatabase,
  at: ResolvedAsOf,
): Promise<{ status: PayoutStatus; count: number }[]> {
  const { schema } = database;
  const table = `${schema}.payout_stage`;
  const stages = allStagesAt(table, 'x.standing, x.complete_height, x.final_height', false);
  const closed = `SELECT m.payout_id FROM (${movedPayouts(schema)}) m
    CROSS JOIN LATERAL (${versionAt(`${schema}.payout`, 'x.payout_id = m.payout_id')}) v WHERE NOT v.is_open`;
  const judged = (among: string): string => `SELECT q.status, 1 FROM (${payoutsSql(schema, among, '')}) q`;
  const rows = await database.rows<{ status: PayoutStatus; count: bigint }>(
    'query.count-open-payouts',
    `SELECT p.status, sum(p.count)::bigint AS count FROM (
       SELECT CASE WHEN s.standing <> 'mined' THEN s.standing WHEN s.is_final THEN 'final'
         WHEN s.is_complete THEN 'completed' ELSE 'confirming' END AS status, s.count
       FROM (SELECT s.standing, s.final_height <= $4::int AS is_final, s.complete_height <= $4::int AS is_complete,
           count(*) AS count
         FROM (${stages}) s GROUP BY s.standing, is_final, is_complete) s
       UNION ALL
       ${judged(allStagesAt(table, 'x.payout_id', true))}
       UNION ALL
       ${judged(closed)} WHERE q.status NOT IN ('final', 'failed', 'cancelled')
     ) p GROUP BY p.status ORDER BY p.status`,
    paymentMoment(at, database.ledger),
  );
  return rows.map(({ status, count }) => ({ status, count: Number(count) }));
}

/** Ids of payouts that are halted now, however many others there are. */
export async function listHalted({ schema, rows }: ReadDatabase, limit: number): Promise<string[]> {
  const found = await rows<{ payout_id: string }>(
    'query.list-halted',
    `SELECT p.payout_id FROM ${schema}.payout p
     WHERE p.halted_by_txid IS NOT NULL AND p.to_position = 9223372036854775807 ORDER BY p.payout_id LIMIT $1::int`,
    [limit],
  );
  return found.map(({ payout_id: id }) => id);
}

/** Ids of open payouts that the node refuses for good, with what it says. Looks at all that are open. */
export async function listRefused({ schema, rows }: ReadDatabase, limit: number): Promise<RefusedPayout[]> {
  const found = await rows<{ payout_id: string; detail: string | null }>(
    'query.list-refused',
    `SELECT p.payout_id, p.detail FROM ${schema}.payout p
     WHERE p.is_open AND p.reason = 'node-refused' AND p.to_position = 9223372036854775807 ORDER BY p.payout_id LIMIT $1::int`,
    [limit],
  );
  return found.map(({ payout_id: id, detail }) => ({ id, detail: detail ?? '' }));
}

export interface RefusedPayout {
  id: string;
  /** The node's words. */
  detail: string;
}

function payoutsSql(schema: string, among: string, conditions: string): string {
  const source =
    among === ''
      ? `${schema}.payout_start s`
      : `(${among}) few ${lookUp(`${schema}.payout_start`, 's', 'x.payout_id = few.payout_id')}`;
  return `SELECT w.*, CASE w.status
      WHEN 'started' THEN w.recorded_at WHEN 'prepared' THEN w.prepared_at WHEN 'signed' THEN w.signed_at
      WHEN 'broadcast' THEN greatest(w.broadcast_at, w.chain_changed_at) WHEN 'halted' THEN w.halted_at
      WHEN 'cancelled' THEN w.over_at WHEN 'failed' THEN w.over_at ELSE w.chain_changed_at END AS status_since
    FROM (
      SELECT s.payout_id, s.wallet_id, s.signer, s.confirmation_target, s.complete_at, s.final_at, s.position, s.recorded_at,
        CASE WHEN p.phase = 'cancelled' THEN 'cancelled' WHEN p.resolved = 'give-up' THEN 'failed'
          WHEN p.halted_at IS NOT NULL THEN 'halted'
          WHEN chain.is_confirmed AND ${CONFIRMATIONS} >= s.final_at THEN 'final'
          ELSE coalesce(${PAYMENT_STATUS}, 'started') END AS status,
        changed.recorded_at AS chain_changed_at, coalesce(chain.txid, (${newestPayment(schema)})) AS txid,
        ${CONFIRMATIONS} AS confirmations, CASE WHEN chain.is_confirmed THEN chain.block_hash END AS block_hash,
        p.fee_sats, p.house_fee_sats, p.extra_fee_sats, p.settled_at, p.prepared_at, p.signed_at, p.broadcast_at, p.reason,
        p.detail, p.bump_pending, p.bump_refused, p.bump_refused_detail, p.halted_at, p.halted_outpoint, p.halted_by_txid,
        p.halted_block_hash, p.halted_height, p.resolved, p.resolved_note, p.resolved_txid,
        (SELECT o.recorded_at FROM outbox o WHERE o.ledger = $5::text AND o.position = p.from_position) AS over_at
      FROM ${source}
      CROSS JOIN LATERAL (${versionAt(`${schema}.payout`, 'x.payout_id = s.payout_id')}) p
      LEFT JOIN LATERAL (${chainOfPayment(schema)}) chain ON true
      ${CHAIN_CHANGED}
      WHERE s.height <= $3::int ${conditions}
    ) w`;
}

function toRecord(row: Row): PayoutRecord {
  const { halted_at: haltedAt, halted_by_txid: byTxid, resolved, resolved_txid: resolvedTxid } = row;
  return {
    payoutId: row.payout_id,
    walletId: row.wallet_id,
    signer: row.signer,
    confirmationTarget: row.confirmation_target,
    completeAt: row.complete_at,
    finalAt: row.final_at,
    startedPosition: row.position,
    startedAt: row.recorded_at,
    status: row.status,
    statusSince: row.status_since,
    txid: row.txid,
    confirmations: row.confirmations,
    blockHash: row.block_hash,
    feeSats: row.fee_sats,
    houseFeeSats: row.house_fee_sats,
    extraFeeSats: row.extra_fee_sats,
    settledAt: row.settled_at,
    waitReason: row.reason,
    waitDetail: row.detail,
    bumpPending: row.bump_pending,
    bumpRefused: row.bump_refused,
    bumpRefusedDetail: row.bump_refused_detail,
    halt:
      haltedAt === null || byTxid === null
        ? null
        : {
            at: haltedAt,
            outpoint: row.halted_outpoint ?? '',
            byTxid,
            blockHash: row.halted_block_hash ?? '',
            height: row.halted_height ?? 0,
          },
    resolution:
      resolved === null || resolvedTxid === null
        ? null
        : { outcome: resolved, note: row.resolved_note ?? '', byTxid: resolvedTxid },
  };
}
