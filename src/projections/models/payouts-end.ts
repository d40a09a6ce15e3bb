import type { ProjectedEvent } from '../projection.js';
import { changePayout, membersOf, NOT_HALTED, voidCandidates } from './change-payout.js';
import type { PayoutChange } from './change-payout.js';
import { changeWork } from './payout-work-row.js';
import type { PayoutPhase, PayoutTables } from './payout-tables.js';
import { changeWithdrawal } from './withdrawals-apply.js';

type DataOf<T extends ProjectedEvent['type']> = Extract<ProjectedEvent, { type: T }>['data'];

/** A person has said what becomes of a halted payout. */
export function resolvePayout(event: ProjectedEvent, data: DataOf<'PayoutResolved'>, tables: PayoutTables): void {
  const { payoutId, outcome, note, byTxid } = data;
  for (const spend of tables.foreign.group(payoutId)) {
    if (spend.by_txid === byTxid) tables.foreign.remove(spend.outpoint);
  }
  const change: PayoutChange = {
    ...NOT_HALTED,
    resolved: outcome,
    resolved_note: note,
    resolved_txid: byTxid,
    reason: null,
    detail: null,
  };
  changeWork(payoutId, tables, { is_halted: false, is_unusual: true });
  switch (outcome) {
    case 'pay-again':
      voidCandidates(event, payoutId, tables);
      changePayout(event, payoutId, tables, {
        ...change,
        phase: 'started',
        prepared_at: null,
        signed_at: null,
        broadcast_at: null,
        bump_pending: false,
      });
      changeWork(payoutId, tables, {
        is_signed: false,
        confirmed_txid: null,
        confirmed_height: null,
        next_target: null,
      });
      return;
    case 'paid':
      // `PayoutSettled` follows in the same append, unless it was settled before.
      changePayout(event, payoutId, tables, { ...change, phase: 'paid' });
      changeWork(payoutId, tables, { is_over: true });
      return;
    case 'give-up':
      for (const withdrawalId of membersOf(payoutId, tables)) {
        const withdrawal = tables.withdrawal.get(withdrawalId);
        if (withdrawal?.is_open !== true || withdrawal.payout_id !== payoutId || withdrawal.state === 'settled')
          continue;
        changeWithdrawal(event, withdrawalId, tables, undefined, { due: 'fail' });
      }
      changePayout(event, payoutId, tables, { ...change, phase: 'failed' });
      changeWork(payoutId, tables, { is_over: true });
      return;
  }
}

/** The share of a withdrawal is known: it is to be settled on its own stream. */
export function settleLater(event: ProjectedEvent, withdrawalId: string, tables: PayoutTables): void {
  if (tables.withdrawal.get(withdrawalId)?.state === 'settled') return;
  changeWithdrawal(event, withdrawalId, tables, undefined, { due: 'settle' });
}

/** The payout will not be looked at again, but for coins that it still holds. */
export function endPayout(
  event: ProjectedEvent,
  payoutId: string,
  tables: PayoutTables,
  phase: Extract<PayoutPhase, 'closed' | 'cancelled'>,
  change: PayoutChange,
): void {
  const { confirmed_height: confirmed = null, final_at: finalAt = 0 } = tables.work.get(payoutId) ?? {};
  changePayout(event, payoutId, tables, {
    ...change,
    phase,
    reason: null,
    detail: null,
    bump_pending: false,
    final_height: phase === 'closed' && confirmed !== null ? confirmed + finalAt - 1 : null,
  });
  changeWork(payoutId, tables, { is_over: true, is_closed: true });
  for (const withdrawalId of membersOf(payoutId, tables)) {
    const withdrawal = tables.withdrawal.get(withdrawalId);
    if (withdrawal?.is_open === true && withdrawal.payout_id === payoutId) {
      changeWithdrawal(event, withdrawalId, tables, undefined, { is_open: false });
    }
  }
}
