import { ID_PATTERN } from '../../../domain/primitives.js';
import { DEFAULT_OVERDUE } from '../../overdue.js';
import type { View } from '../../reader.js';
import { listSigned } from '../../sql/list-candidates.js';
import type { SignedRecord } from '../../sql/list-candidates.js';
import { readRecordedAt } from '../../sql/read-ledger.js';
import { readPayouts } from '../../sql/read-payouts.js';
import type { PayoutRecord } from '../../sql/read-payouts.js';
import { readWithdrawals } from '../../sql/read-withdrawals.js';
import type { OverdueAt, WithdrawalRecord } from '../../sql/read-withdrawals.js';

export interface WithdrawalSource extends WithdrawalRecord {
  view: View;
}

export interface PayoutSource extends PayoutRecord {
  view: View;
}

/** The withdrawal as of the view's moment; undefined where it was not asked for by then. */
export async function loadWithdrawal(view: View, id: string): Promise<WithdrawalSource | undefined> {
  if (!ID_PATTERN.test(id)) return undefined;
  const record = await view.load('withdrawal', id, async (ids: readonly string[]) =>
    readWithdrawals(view.database, view.at, await overdueAt(view), ids),
  );
  return record === undefined ? undefined : { ...record, view };
}

/** Too late is judged by the clock, and as of the past by the time of its last event. */
export async function overdueAt(view: View): Promise<OverdueAt> {
  const { minutes, now } = view.reader.deps.overdue ?? DEFAULT_OVERDUE;
  if (!view.isPast) return { minutes, now: now() };
  const recordedAt = await view.load('recorded-at', view.at.position, async (positions: readonly bigint[]) => {
    const times = new Map<bigint, Date>();
    for (const position of positions) {
      const time = await readRecordedAt(view.database, position);
      if (time !== undefined) times.set(position, time);
    }
    return times;
  });
  return { minutes, now: recordedAt ?? now() };
}

/** Signed transactions of a payout, in the order of signing. */
export async function loadSigned(view: View, payoutId: string): Promise<readonly SignedRecord[]> {
  const signed = await view.load('signed', payoutId, (ids: readonly string[]) =>
    listSigned(view.database, view.at, ids),
  );
  return signed ?? [];
}

/** The payout as of the view's moment; undefined where it was not started by then. */
export async function loadPayout(view: View, id: string): Promise<PayoutSource | undefined> {
  if (!ID_PATTERN.test(id)) return undefined;
  const record = await view.load('payout', id, (ids: readonly string[]) => readPayouts(view.database, view.at, ids));
  return record === undefined ? undefined : { ...record, view };
}
