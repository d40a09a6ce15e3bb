import type { DomainEvent } from '../events/event-types.js';
import type { WithdrawalCancelled } from '../events/withdrawal-events.js';
import { reject, type Rejection } from '../rejection.js';
import type { WithdrawalState } from './withdrawal-state.js';

export interface CancelFacts {
  /** Whether this payout has let go of the withdrawal, unsigned. Once it has, it has for ever. */
  isRemovedFrom: (payoutId: string) => boolean;
}

/**
 * Cancels a withdrawal that no payout pays (any more). One that a payout has must be taken out of it first: that is decided on the
 * payout's stream, against its signature.
 */
export function cancelWithdrawal(
  command: WithdrawalCancelled,
  state: WithdrawalState,
  facts: CancelFacts,
): DomainEvent[] | Rejection {
  const { withdrawalId } = command;
  if (state.phase === 'cancelled' || state.phase === 'failed') {
    return reject('withdrawal-not-cancellable', `Withdrawal '${withdrawalId}' is ${state.phase} already.`);
  }
  if (state.payoutId !== null && !facts.isRemovedFrom(state.payoutId)) {
    return reject('withdrawal-not-cancellable', `Payout '${state.payoutId}' pays withdrawal '${withdrawalId}'.`);
  }
  return [{ type: 'WithdrawalCancelled', data: command }];
}
