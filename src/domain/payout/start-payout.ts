import { invariant } from '../../platform/assert.js';
import type { DomainEvent } from '../events/event-types.js';
import type { PayoutStarted } from '../events/payout-events.js';
import type { PayoutState } from './payout-state.js';

/** Begins a payout. No event where it has begun: its id derives from what it pays. */
export function startPayout(command: PayoutStarted, state: PayoutState): DomainEvent[] {
  if (state.started !== null) return [];
  const ids = new Set(command.withdrawals.map(({ withdrawalId }) => withdrawalId));
  invariant(ids.size === command.withdrawals.length, `payout ${command.payoutId} pays each withdrawal once`);
  return [{ type: 'PayoutStarted', data: command }];
}
