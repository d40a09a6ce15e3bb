import type { PayoutStarted } from '../../domain/events/payout-events.js';
import type { PayoutTables } from './payout-tables.js';
import type { PayoutWorkRow } from './payout-work-tables.js';

type Facts = Omit<PayoutWorkRow, 'complete_height' | 'final_height' | 'target_height' | 'is_unconfirmed'>;

export function newWork(position: bigint, started: PayoutStarted): PayoutWorkRow {
  return derived({
    payout_id: started.payoutId,
    wallet_id: started.walletId,
    started_position: position,
    complete_at: started.completeAt,
    final_at: started.finalAt,
    confirmation_target: started.confirmationTarget,
    confirmed_txid: null,
    confirmed_height: null,
    is_signed: false,
    is_halted: false,
    is_settled: false,
    is_over: false,
    is_closed: false,
    coins_held: 0,
    next_target: null,
    is_unusual: false,
  });
}

/** Nothing happens where the payout's work is done. A payout that is closed and holds no coins has none left. */
export function changeWork(
  payoutId: string,
  { work }: PayoutTables,
  change: Partial<Facts> | ((row: PayoutWorkRow) => Partial<Facts>),
): void {
  const row = work.get(payoutId);
  if (row === undefined) return;
  const next = derived({ ...row, ...(typeof change === 'function' ? change(row) : change) });
  if (next.is_closed && next.coins_held <= 0) work.remove(payoutId);
  else work.put(next);
}

/** A block at height h has `tip - h + 1` confirmations. */
function derived(facts: Facts): PayoutWorkRow {
  const { confirmed_height: confirmed, is_over: isOver } = facts;
  const isUnconfirmed = facts.is_signed && confirmed === null && !facts.is_halted && !isOver;
  return {
    ...facts,
    complete_height: confirmed === null || facts.is_settled || isOver ? null : confirmed + facts.complete_at - 1,
    final_height: confirmed === null || isOver ? null : confirmed + facts.final_at - 1,
    target_height: isUnconfirmed ? facts.next_target : null,
    is_unconfirmed: isUnconfirmed,
  };
}
