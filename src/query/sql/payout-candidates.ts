import type { ResolvedAsOf } from '../as-of.js';
import { lookUp } from './payment-sql.js';
import type { PayoutStatus } from './payout-status.js';
import { movedPayouts, SPARE_CANDIDATES, stagesAt } from './stage-sql.js';
import type { Candidates } from './stage-sql.js';

/**
 * Where to look for payouts of a status, newest first: among these are all that fit. `$6` is the position that they were started before.
 *
 * @param limit of the page; undefined where the page has other conditions as well
 * @returns undefined where there is no index for it: as of a height
 */
export function payoutCandidates(
  schema: string,
  at: ResolvedAsOf,
  status: PayoutStatus | undefined,
  limit: string | undefined,
): Candidates | undefined {
  if (at.height !== null || status === undefined) return undefined;
  return (isWhole) => {
    const most = isWhole || limit === undefined ? 'ALL' : `${limit} + ${SPARE_CANDIDATES}`;
    const arms = [...armsOf(schema, status, most), ...unusual(schema, most)];
    return `SELECT c.payout_id FROM (${arms.join(' UNION ')}) c
      WHERE c.position < $6::bigint ORDER BY c.position DESC LIMIT ${most}`;
  };
}

/** Those of which it is not known without looking at them. */
function unusual(schema: string, limit: string): string[] {
  return [
    stagesAt(`${schema}.payout_stage`, {
      columns: 'x.payout_id, x.started_position AS position',
      condition: 'x.is_unusual AND x.started_position < $6::bigint',
      order: 'x.started_position',
      limit,
    }),
    `(SELECT s.payout_id, s.position FROM (${movedPayouts(schema)}) p
      ${lookUp(`${schema}.payout_start`, 's', 'x.payout_id = p.payout_id')})`,
  ];
}

function armsOf(schema: string, status: PayoutStatus, limit: string): string[] {
  const standing = (condition: string): string =>
    stagesAt(`${schema}.payout_stage`, {
      columns: 'x.payout_id, x.started_position AS position',
      condition: `${condition} AND x.started_position < $6::bigint`,
      order: 'x.started_position',
      limit,
    });
  // Superseded versions are found as well: the list itself judges.
  const over = (condition: string): string =>
    `(SELECT DISTINCT x.payout_id, x.started_position AS position FROM ${schema}.payout x
      WHERE NOT x.is_open AND ${condition} AND x.started_position < $6::bigint
      ORDER BY position DESC LIMIT ${limit})`;
  switch (status) {
    case 'started':
    case 'prepared':
    case 'signed':
    case 'broadcast':
    case 'halted':
      return [standing(`x.standing = '${status}'`)];
    case 'confirming':
      return [standing(`x.standing = 'mined' AND x.complete_height > $4::int`)];
    case 'completed':
      return [standing(`x.standing = 'mined' AND x.complete_height <= $4::int AND x.final_height > $4::int`)];
    case 'final':
      return [standing(`x.standing = 'mined' AND x.final_height <= $4::int`), over(`x.phase = 'closed'`)];
    case 'failed':
      return [standing(`x.standing = 'failed'`), over(`x.resolved = 'give-up'`)];
    case 'cancelled':
      return [over(`x.phase = 'cancelled'`)];
  }
}
