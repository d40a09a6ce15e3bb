import type { DomainEvent } from '../events/event-types.js';
import { reject, type Rejection } from '../rejection.js';
import type { WithdrawalState } from './withdrawal-state.js';

export interface AssignWithdrawal {
  withdrawalId: string;
  payoutId: string;
}

/**
 * Gives the withdrawal to a payout, for ever. No event where that payout has it. Refused where another one has it or it was
 * cancelled: then the payout has to go on without it.
 */
export function assignWithdrawal(command: AssignWithdrawal, state: WithdrawalState): DomainEvent[] | Rejection {
  const { withdrawalId, payoutId } = command;
  switch (state.phase) {
    case 'waiting':
      return [{ type: 'WithdrawalAssigned', data: { withdrawalId, payoutId } }];
    case 'assigned':
      if (state.payoutId === payoutId) return [];
      return reject('withdrawal-not-payable', `Payout '${state.payoutId}' pays withdrawal '${withdrawalId}'.`);
    case 'cancelled':
    case 'failed':
      return reject('withdrawal-not-payable', `Withdrawal '${withdrawalId}' is ${state.phase}.`);
  }
}
