import { invariant } from '../../platform/assert.js';
import type { ResolvedAsOf } from '../as-of.js';
import type { OverdueMinutes, WithdrawalStatus } from '../overdue.js';
import type { ReadDatabase } from './database.js';
import {
  CHAIN_CHANGED,
  chainOfPayment,
  CONFIRMATIONS,
  newestPayment,
  PAYMENT_STATUS,
  paymentMoment,
  versionAt,
} from './payment-sql.js';
import { allStagesAt, IS_LATE_IN_STAGE, listAmong, movedPayouts, STATUS_OF_STAGE } from './stage-sql.js';
import { withdrawalCandidates } from './withdrawal-candidates.js';

export interface WithdrawalRecord {
  withdrawalId: string;
  accountId: string;
  walletId: string;
  address: string;
  script: string;
  amountSats: bigint;
  maxFeeSats: bigint | null;
  confirmationTarget: number;
  requestedPosition: bigint;
  requestedAt: Date;
  status: WithdrawalStatus;
  statusSince: Date;
  /** When it was in its status for longer than it should be; null where it is not. */
  overdueSince: Date | null;
  payoutId: string | null;
  /** The same, unless it is over without being paid. */
  paidBy: string | null;
  feeSats: bigint | null;
  /** What pays it: the transaction in a block, else the newest that was signed. */
  txid: string | null;
  confirmations: number;
  blockHash: string | null;
  /** Why it waits, was cancelled or failed. */
  reason: string | null;
  detail: string | null;
}

export interface WithdrawalCriteria {
  accountId?: string;
  walletId?: string;
  payoutId?: string;
  status?: WithdrawalStatus;
  overdue?: boolean;
}

/** How overdue is judged: by these limits, at this time. */
export interface OverdueAt {
  minutes: OverdueMinutes;
  now: Date;
}

interface Row {
  withdrawal_id: string;
  account_id: string;
  wallet_id: string;
  address: string;
  script: string;
  amount_sats: bigint;
  max_fee_sats: bigint | null;
  confirmation_target: number;
  position: bigint;
  recorded_at: Date;
  status: WithdrawalStatus;
  status_since: Date;
  overdue_since: Date | null;
  payout_id: string | null;
  paid_by: string | null;
  fee_sats: bigint | null;
  txid: string | null;
  confirmations: number;
  block_hash: string | null;
  reason: string | null;
  detail: string | null;
}

/** These withdrawals as of a moment; those that were not asked for by then are left out. */
export async function readWithdrawals(
  database: ReadDatabase,
  at: ResolvedAsOf,
  overdue: OverdueAt,
  withdrawalIds: readonly string[],
): Promise<Map<string, WithdrawalRecord>> {
  const rows = await database.rows<Row>(
    'query.read-withdrawals',
    `SELECT q.* FROM (${withdrawalsSql(database.schema, '', 'AND r.withdrawal_id = ANY($8::text[])')}) q`,
    [...moment(database, at, overdue), withdrawalIds],
  );
  return new Map(rows.map((row) => [row.withdrawal_id, toRecord(row)]));
}

/** Newest first, after the one that was requested at `before`. */
export async function listWithdrawals(
  database: ReadDatabase,
  at: ResolvedAsOf,
  overdue: OverdueAt,
  criteria: WithdrawalCriteria,
  page: { before: bigint | undefined; limit: number },
): Promise<WithdrawalRecord[]> {
  const { schema } = database;
  const values: unknown[] = [
    ...moment(database, at, overdue),
    page.before ?? at.position + 1n,
    page.limit,
    at.bookBound,
  ];
  const parameter = (value: unknown): string => `$${values.push(value)}`;
  const requests = ['AND r.position < $8::bigint AND r.position <= $10::bigint'];
  if (criteria.accountId !== undefined) requests.push(`AND r.account_id = ${parameter(criteria.accountId)}::text`);
  if (criteria.walletId !== undefined) requests.push(`AND r.wallet_id = ${parameter(criteria.walletId)}::text`);
  if (criteria.payoutId !== undefined) {
    requests.push(`AND r.withdrawal_id IN (SELECT m.withdrawal_id FROM ${schema}.payout_member m
      WHERE m.payout_id = ${parameter(criteria.payoutId)}::text)`);
  }
  const answers: string[] = [];
  if (criteria.status !== undefined) answers.push(`q.status = ${parameter(criteria.status)}::text`);
  if (criteria.payoutId !== undefined) answers.push(`q.payout_id = ${parameter(criteria.payoutId)}::text`);
  if (criteria.overdue !== undefined)
    answers.push(`(q.overdue_since IS NOT NULL) = ${parameter(criteria.overdue)}::bool`);
  const answer = answers.length === 0 ? '' : `WHERE ${answers.join(' AND ')}`;
  const list = (among: string): string => `SELECT q.* FROM (${withdrawalsSql(schema, among, requests.join(' '))}) q
     ${answer} ORDER BY q.position DESC LIMIT $9::int`;
  const isNarrowed = criteria.accountId !== undefined || criteria.walletId !== undefined;
  const candidates = withdrawalCandidates(schema, at, criteria, isNarrowed ? undefined : '$9::int');
  if (candidates === undefined)
    return (await database.rows<Row>('query.list-withdrawals', list(''), values)).map(toRecord);
  const found = await listAmong<Row>(database, 'query.list-withdrawals', candidates, list, values, page.limit);
  return found.map(toRecord);
}

/** How many withdrawals are in each status that they should leave, and how many of those for too long. For metrics and pages. */
export async function countOpenWithdrawals(
  database: ReadDatabase,
  at: ResolvedAsOf,
  overdue: OverdueAt,
): Promise<{ status: WithdrawalStatus; count: number; overdue: number; amountSats: bigint }[]> {
  invariant(at.height === null, 'open withdrawals are counted as of a position');
  const { schema } = database;
  const table = `${schema}.withdrawal_stage`;
  const stages = allStagesAt(table, 'x.stage, x.since, x.complete_height, x.amount_sats', false);
  const closed = `SELECT m.withdrawal_id FROM (${movedPayouts(schema)}) p
    JOIN ${schema}.payout_member m ON m.payout_id = p.payout_id
    CROSS JOIN LATERAL (${versionAt(`${schema}.withdrawal`, 'x.withdrawal_id = m.withdrawal_id')}) v
    WHERE v.state = 'settled' AND NOT v.is_open GROUP BY m.withdrawal_id`;
  const judged = (among: string): string =>
    `SELECT q.status, 1, q.amount_sats, (q.overdue_since IS NOT NULL)::int FROM (${withdrawalsSql(schema, among, '')}) q`;
  const rows = await database.rows<{ status: WithdrawalStatus; count: bigint; overdue: bigint; sats: bigint }>(
    'query.count-open-withdrawals',
    `SELECT w.status, sum(w.count)::bigint AS count, sum(w.sats)::bigint AS sats,
       sum(CASE WHEN w.status = 'completed' THEN 0 ELSE w.late END)::bigint AS overdue
     FROM (
       SELECT ${STATUS_OF_STAGE} AS status, s.count, s.sats, s.late
       FROM (SELECT s.stage, s.complete_height <= $4::int AS is_complete, count(*) AS count, sum(s.amount_sats) AS sats,
           count(*) FILTER (WHERE ${IS_LATE_IN_STAGE}) AS late
         FROM (${stages}) s GROUP BY s.stage, is_complete) s
       UNION ALL
       ${judged(allStagesAt(table, 'x.withdrawal_id', true))}
       UNION ALL
       ${judged(closed)} WHERE q.status <> 'completed'
     ) w GROUP BY w.status ORDER BY w.status`,
    moment(database, at, overdue),
  );
  return rows.map(({ status, count, overdue: late, sats }) => ({
    status,
    count: Number(count),
    overdue: Number(late),
    amountSats: sats,
  }));
}

/** After the parameters of a payment's moment: `$6` limits in minutes by status, `$7` the time that they are judged at. */
function moment({ ledger }: ReadDatabase, at: ResolvedAsOf, { minutes, now }: OverdueAt): unknown[] {
  return [...paymentMoment(at, ledger), JSON.stringify(minutes), now.toISOString()];
}

function withdrawalsSql(schema: string, among: string, conditions: string): string {
  const source =
    among === ''
      ? `${schema}.withdrawal_request r`
      : `(${among}) few JOIN ${schema}.withdrawal_request r ON r.withdrawal_id = few.withdrawal_id`;
  const status = `CASE WHEN v.state IN ('cancelled', 'failed') THEN v.state
    WHEN v.is_removed OR p.payout_id IS NULL THEN 'requested'
    ELSE coalesce(${PAYMENT_STATUS}, 'requested') END`;
  return `SELECT w.*, CASE WHEN w.status_since + make_interval(mins => ($6::jsonb->>w.status)::int) <= $7::timestamptz
        THEN w.status_since + make_interval(mins => ($6::jsonb->>w.status)::int) END AS overdue_since
    FROM (
      SELECT w.*, CASE w.status WHEN 'requested' THEN w.recorded_at
          WHEN 'prepared' THEN w.prepared_at
          WHEN 'signed' THEN w.signed_at
          WHEN 'broadcast' THEN greatest(w.broadcast_at, w.chain_changed_at)
          WHEN 'confirming' THEN w.chain_changed_at
          WHEN 'completed' THEN w.chain_changed_at
          ELSE w.state_at END AS status_since
      FROM (
        SELECT r.withdrawal_id, r.account_id, r.wallet_id, r.address, r.script, r.amount_sats, r.max_fee_sats,
          r.confirmation_target, r.position, r.recorded_at, ${status} AS status, v.state_at, p.prepared_at, p.signed_at,
          p.broadcast_at, changed.recorded_at AS chain_changed_at, v.payout_id, p.payout_id AS paid_by, v.fee_sats,
          coalesce(chain.txid, v.txid, (${newestPayment(schema)})) AS txid, ${CONFIRMATIONS} AS confirmations,
          CASE WHEN chain.is_confirmed THEN chain.block_hash END AS block_hash,
          CASE WHEN v.state IN ('cancelled', 'failed', 'deferred') OR v.is_removed THEN v.reason
            WHEN p.halted_at IS NOT NULL THEN 'halted' ELSE p.reason END AS reason,
          CASE WHEN v.state IN ('cancelled', 'failed', 'deferred') OR v.is_removed THEN v.detail
            WHEN p.halted_at IS NOT NULL THEN concat('a coin of the payout was spent by ', p.halted_by_txid)
            ELSE p.detail END AS detail
        FROM ${source}
        CROSS JOIN LATERAL (${versionAt(`${schema}.withdrawal`, 'x.withdrawal_id = r.withdrawal_id')}) v
        LEFT JOIN LATERAL (${versionAt(`${schema}.payout`, 'x.payout_id = v.payout_id')}) p
          -- What the payout does for others is nothing of one that it let go of.
          ON NOT v.is_removed AND v.state NOT IN ('cancelled', 'failed')
        LEFT JOIN ${schema}.payout_start s ON s.payout_id = p.payout_id
        LEFT JOIN LATERAL (${chainOfPayment(schema)}) chain ON true
        ${CHAIN_CHANGED}
        WHERE r.height <= $3::int ${conditions}
      ) w
    ) w`;
}

function toRecord(row: Row): WithdrawalRecord {
  return {
    withdrawalId: row.withdrawal_id,
    accountId: row.account_id,
    walletId: row.wallet_id,
    address: row.address,
    script: row.script,
    amountSats: row.amount_sats,
    maxFeeSats: row.max_fee_sats,
    confirmationTarget: row.confirmation_target,
    requestedPosition: row.position,
    requestedAt: row.recorded_at,
    status: row.status,
    statusSince: row.status_since,
    overdueSince: row.overdue_since,
    payoutId: row.payout_id,
    paidBy: row.paid_by,
    feeSats: row.fee_sats,
    txid: row.txid,
    confirmations: row.confirmations,
    blockHash: row.block_hash,
    reason: row.reason,
    detail: row.detail,
  };
}
