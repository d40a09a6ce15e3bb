import type { PayoutState } from '../../domain/payout/payout-state.js';
import type { PayoutView } from '../payout-view.js';
import { mustTell } from '../tell.js';
import type { WorkflowParts } from '../workflow-parts.js';

/** A reorg gives most deposits back within some blocks. For so long the others of a batch wait with a frozen account. */
const PATIENCE_MS = 3_600_000;
/** Between looks whether the account is covered. */
const LOOK_AGAIN_MS = 30_000;
const REASON = 'A reorg took back what it was covered by.';

export type Held =
  /** Nothing is held back: go on. */
  | { kind: 'free' }
  /** Not before this moment, in milliseconds since 1970. */
  | { kind: 'wait'; untilMs: number }
  /** One was taken out: look again. */
  | { kind: 'again' };

/** Prepared, and nothing of this round is signed: what may still be changed. */
export function isUnsigned({ candidates, round, halted, end }: PayoutView): boolean {
  const live = candidates.filter((candidate) => !candidate.isVoid && candidate.round === round);
  return end === null && halted === null && live.length > 0 && live.every(({ signed }) => signed.length === 0);
}

/**
 * Keeps a payout from being signed while a reorg has left one of its accounts below zero: the reservation is worth nothing then. When that
 * lasts, and others are paid by it too, the withdrawals of that account are cancelled as a client would cancel them, the last one
 * first and one by one until the account is covered: the rest is prepared anew, from the same coins and more.
 */
export async function holdBack(parts: WorkflowParts, payout: PayoutView, state: PayoutState): Promise<Held> {
  const { agenda, commands, now, work } = parts;
  const { payoutId, withdrawals } = payout;
  const frozen = await work.frozenAccounts([...new Set(withdrawals.map(({ accountId }) => accountId))]);
  const wasHeld = state.deferred?.reason === 'account-frozen';
  if (frozen.size === 0) {
    agenda.delay(payoutId, 'takeOutMs', 0);
    if (wasHeld) {
      const detail = 'Its accounts are covered again; it waits for its signature.';
      await mustTell(parts, commands.deferPayout({ payoutId, reason: 'signer-unavailable', detail }));
    }
    return { kind: 'free' };
  }
  if (!wasHeld) {
    const detail = `A reorg left account '${[...frozen].join(`', '`)}' below zero; nothing is signed until that is covered.`;
    await mustTell(parts, commands.deferPayout({ payoutId, reason: 'account-frozen', detail: detail.slice(0, 500) }));
  }
  const { takeOutMs } = agenda.notBefore(payoutId);
  if (takeOutMs === 0) agenda.delay(payoutId, 'takeOutMs', now() + PATIENCE_MS);
  const last = withdrawals.findLast(({ accountId }) => frozen.has(accountId));
  // Nobody waits for one that is alone; and it is paid when it is covered.
  const holdsUpOthers = withdrawals.some(({ accountId }) => !frozen.has(accountId));
  if (takeOutMs === 0 || now() < takeOutMs || !holdsUpOthers || last === undefined) {
    return { kind: 'wait', untilMs: now() + LOOK_AGAIN_MS };
  }
  const { withdrawalId, accountId } = last;
  await mustTell(parts, commands.removeWithdrawal({ payoutId, withdrawalId, reason: REASON }));
  // At once, so that the next look sees whether that was enough; after a crash here it is finished like any cancel.
  await mustTell(parts, commands.cancelWithdrawal({ withdrawalId, accountId, reason: REASON }));
  await mustTell(parts, commands.releaseFunds({ withdrawalId, accountId, reason: 'cancelled' }));
  return { kind: 'again' };
}
