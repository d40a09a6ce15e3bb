import type { DomainEvent } from '../events/event-types.js';
import type { BumpRefused } from '../events/payout-events.js';
import { reject, type Rejection } from '../rejection.js';
import type { PayoutState } from './payout-state.js';

/** Says why a bump came to nothing, asked for by hand or not. No event where that was said already and nobody has asked since. */
export function refuseBump(command: BumpRefused, state: PayoutState): DomainEvent[] | Rejection {
  if (state.started === null) return reject('payout-not-found', `There is no payout '${command.payoutId}'.`);
  if (state.phase === 'closed' || state.phase === 'cancelled') return [];
  if (state.bump === null && state.refusal?.reason === command.reason) return [];
  return [{ type: 'BumpRefused', data: command }];
}
