import { invariant } from '../../platform/assert.js';
import { bookHeight } from '../projection.js';
import type { ProjectedEvent } from '../projection.js';
import type { PayoutPhase, PayoutRow, PayoutTables } from './payout-tables.js';
import { changeWork } from './payout-work-row.js';

export type PayoutChange = Partial<
  Omit<PayoutRow, 'payout_id' | 'wallet_id' | 'started_position' | 'height' | 'is_open'>
>;

export const NOT_HALTED = {
  halted_at: null,
  halted_outpoint: null,
  halted_by_txid: null,
  halted_block_hash: null,
  halted_height: null,
} satisfies PayoutChange;

const CLOSED: ReadonlySet<PayoutPhase> = new Set(['closed', 'cancelled']);

/** A new version of a payout. */
export function changePayout(
  event: ProjectedEvent,
  payoutId: string,
  tables: PayoutTables,
  change: PayoutChange,
): void {
  const row = { ...payoutOf(event, payoutId, tables), ...change, height: bookHeight(event) };
  tables.payout.put({ ...row, is_open: !CLOSED.has(row.phase) });
}

export function payoutOf(event: ProjectedEvent, payoutId: string, { payout }: PayoutTables): PayoutRow {
  const row = payout.get(payoutId);
  invariant(row !== undefined, `${event.type} at position ${event.position}: there is no payout ${payoutId}`);
  return row;
}

/** In the order of the payout; without those that were taken out. */
export function membersOf(payoutId: string, { member }: PayoutTables): string[] {
  return member
    .group(payoutId)
    .filter(({ removed }) => !removed)
    .sort((a, b) => a.n - b.n)
    .map(({ withdrawal_id: withdrawalId }) => withdrawalId);
}

/** What was prepared is not to be signed any more. */
export function voidCandidates(event: ProjectedEvent, payoutId: string, tables: PayoutTables): void {
  const { candidate, candidateTx } = tables;
  const height = bookHeight(event);
  if (candidateTx.group(payoutId).some((row) => row.is_signed)) changeWork(payoutId, tables, { is_unusual: true });
  for (const row of candidate.group(payoutId)) if (!row.is_void) candidate.put({ ...row, is_void: true, height });
  for (const row of candidateTx.group(payoutId)) if (!row.is_void) candidateTx.put({ ...row, is_void: true, height });
}
