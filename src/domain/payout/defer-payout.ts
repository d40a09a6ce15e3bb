import type { DomainEvent } from '../events/event-types.js';
import type { PayoutDeferred } from '../events/payout-events.js';
import { reject, type Rejection } from '../rejection.js';
import type { PayoutState } from './payout-state.js';

/** Says why a payout does not go on. No event where that is its reason already, or it has ended. */
export function deferPayout(command: PayoutDeferred, state: PayoutState): DomainEvent[] | Rejection {
  if (state.started === null) return reject('payout-not-found', `There is no payout '${command.payoutId}'.`);
  if (state.phase === 'closed' || state.phase === 'cancelled') return [];
  return state.deferred?.reason === command.reason ? [] : [{ type: 'PayoutDeferred', data: command }];
}
