import type { ResolvedAsOf } from '../as-of.js';
import type { WithdrawalStatus } from '../overdue.js';
import { lookUp } from './payment-sql.js';
import { isOverdue, movedPayouts, SPARE_CANDIDATES, stagesAt } from './stage-sql.js';
import type { Candidates } from './stage-sql.js';

/** Statuses that a withdrawal should leave: those that can be overdue. */
const PASSING = ['requested', 'prepared', 'signed', 'broadcast', 'confirming'] as const;

/**
 * Where to look for withdrawals of a status, or overdue ones, newest first: among these are all that fit. Parameters as in the list: `$8`
 * is the position that they were requested before.
 *
 * @param limit of the page; undefined where the page has other conditions as well
 * @returns undefined where there is no index for it: as of a height, and of one payout
 */
export function withdrawalCandidates(
  schema: string,
  at: ResolvedAsOf,
  { status, overdue, payoutId }: { status?: WithdrawalStatus; overdue?: boolean; payoutId?: string },
  limit: string | undefined,
): Candidates | undefined {
  if (at.height !== null || payoutId !== undefined) return undefined;
  if (status === undefined && overdue !== true) return undefined;
  return (isWhole) => {
    const most = isWhole || limit === undefined ? 'ALL' : `${limit} + ${SPARE_CANDIDATES}`;
    const statuses: readonly WithdrawalStatus[] = status === undefined ? PASSING : [status];
    const arms = statuses.flatMap((one) => armsOf(schema, one, overdue === true, most));
    arms.push(...unusual(schema, most));
    return `SELECT c.withdrawal_id FROM (${arms.join(' UNION ')}) c
      WHERE c.position < $8::bigint ORDER BY c.position DESC LIMIT ${most}`;
  };
}

/** Those of which it is not known without looking at them. */
function unusual(schema: string, limit: string): string[] {
  return [
    stagesAt(`${schema}.withdrawal_stage`, {
      columns: 'x.withdrawal_id, x.requested_position AS position',
      condition: 'x.is_unusual AND x.requested_position < $8::bigint',
      order: 'x.requested_position',
      limit,
    }),
    `(SELECT r.withdrawal_id, r.position FROM (${movedPayouts(schema)}) p
      JOIN ${schema}.payout_member m ON m.payout_id = p.payout_id
      ${lookUp(`${schema}.withdrawal_request`, 'r', 'x.withdrawal_id = m.withdrawal_id')})`,
  ];
}

function armsOf(schema: string, status: WithdrawalStatus, isLate: boolean, limit: string): string[] {
  const late = isLate ? ` AND ${isOverdue(`'${status}'`, 'x.since')}` : '';
  const inStage = (condition: string): string =>
    stagesAt(`${schema}.withdrawal_stage`, {
      columns: 'x.withdrawal_id, x.requested_position AS position',
      condition: `${condition}${late} AND x.requested_position < $8::bigint`,
      order: 'x.requested_position',
      limit,
    });
  // Superseded versions are found as well: the list itself judges.
  const over = (state: string): string =>
    `(SELECT DISTINCT x.withdrawal_id, x.requested_position AS position FROM ${schema}.withdrawal x
      WHERE NOT x.is_open AND x.state = '${state}' AND x.requested_position < $8::bigint
      ORDER BY position DESC LIMIT ${limit})`;
  switch (status) {
    case 'requested':
    case 'prepared':
    case 'signed':
    case 'broadcast':
      return [inStage(`x.stage = '${status}'`)];
    case 'confirming':
      return [inStage(`x.stage = 'mined' AND x.complete_height > $4::int`)];
    case 'completed':
      return [inStage(`x.stage = 'mined' AND x.complete_height <= $4::int`), over('settled')];
    case 'cancelled':
    case 'failed':
      return [over(status)];
  }
}
