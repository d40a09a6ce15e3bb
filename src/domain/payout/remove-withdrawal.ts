import type { DomainEvent } from '../events/event-types.js';
import type { WithdrawalRemoved } from '../events/payout-events.js';
import { reject, type Rejection } from '../rejection.js';
import { isSigned } from './payout-candidates.js';
import type { PayoutState } from './payout-state.js';

/**
 * Takes a withdrawal out while nothing is signed: the stream decides which was first, this or a signature. What was prepared is
 * void then, but not while it is halted. With the last one the payout is cancelled. No event where it was taken out before.
 */
export function removeWithdrawal(command: WithdrawalRemoved, state: PayoutState): DomainEvent[] | Rejection {
  const { payoutId, withdrawalId } = command;
  if (state.removed.includes(withdrawalId)) return [];
  if (state.started === null) return reject('payout-not-found', `There is no payout '${payoutId}'.`);
  if (!state.withdrawals.some((paid) => paid.withdrawalId === withdrawalId)) {
    return reject('withdrawal-not-payable', `Payout '${payoutId}' does not pay withdrawal '${withdrawalId}'.`);
  }
  const isPaid = state.settled !== null || (state.resolution !== null && state.resolution.outcome !== 'pay-again');
  if (isPaid || isSigned(state) || state.phase === 'closed') {
    return reject('withdrawal-not-cancellable', `The payment of withdrawal '${withdrawalId}' is signed.`);
  }
  // Whoever spent its coins may have paid it: only a person can tell.
  if (state.halt !== null) {
    const detail = `Payout '${payoutId}' is halted: ${state.halt.byTxid} spent a coin of it, and somebody has to decide.`;
    return reject('withdrawal-not-cancellable', detail);
  }
  const removed: DomainEvent = { type: 'WithdrawalRemoved', data: command };
  return state.withdrawals.length > 1 ? [removed] : [removed, { type: 'PayoutCancelled', data: { payoutId } }];
}
