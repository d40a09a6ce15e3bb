import type { DomainEvent } from '../events/event-types.js';
import type { WithdrawalDeferred } from '../events/withdrawal-events.js';
import type { WithdrawalState } from './withdrawal-state.js';

/** Says why a withdrawal waits. No event where it waits for that reason already, or does not wait. */
export function deferWithdrawal(command: WithdrawalDeferred, state: WithdrawalState): DomainEvent[] {
  if (state.phase !== 'waiting' || state.waits?.reason === command.reason) return [];
  return [{ type: 'WithdrawalDeferred', data: command }];
}
