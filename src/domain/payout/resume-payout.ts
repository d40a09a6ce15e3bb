import type { DomainEvent } from '../events/event-types.js';
import type { PayoutResumed } from '../events/payout-events.js';
import type { PayoutState } from './payout-state.js';

/** The block with the foreign spend was taken off. No event where the payout is not halted by that transaction. */
export function resumePayout(command: PayoutResumed, state: PayoutState): DomainEvent[] {
  return state.halt?.byTxid === command.byTxid ? [{ type: 'PayoutResumed', data: command }] : [];
}
