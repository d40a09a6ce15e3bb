import { invariant } from '../../platform/assert.js';
import type { DomainEvent } from '../events/event-types.js';
import type { WithdrawalFailed } from '../events/withdrawal-events.js';
import { reject, type Rejection } from '../rejection.js';
import type { WithdrawalState } from './withdrawal-state.js';

/** Ends a withdrawal whose payout a person has given up. No event where it has failed already. */
export function failWithdrawal(command: WithdrawalFailed, state: WithdrawalState): DomainEvent[] | Rejection {
  const { withdrawalId, payoutId } = command;
  if (state.phase === 'failed') return [];
  if (state.phase === 'cancelled')
    return reject('withdrawal-not-payable', `Withdrawal '${withdrawalId}' is cancelled.`);
  invariant(
    state.payoutId === payoutId,
    `withdrawal ${withdrawalId} fails with the payout that has it, ${state.payoutId}, not with ${payoutId}`,
  );
  return [{ type: 'WithdrawalFailed', data: command }];
}
