import type { DomainEvent } from '../events/event-types.js';
import type { BumpRequested } from '../events/payout-events.js';
import { reject, type Rejection } from '../rejection.js';
import type { PayoutState } from './payout-state.js';

/** Asks for a higher fee, by hand: only once it is signed and while nothing is settled. Whether it can be had is found out later. */
export function requestBump(command: BumpRequested, state: PayoutState): DomainEvent[] | Rejection {
  const { payoutId } = command;
  if (state.started === null) return reject('payout-not-found', `There is no payout '${payoutId}'.`);
  if (state.phase !== 'signed') {
    return reject('withdrawal-not-bumpable', `Its payout '${payoutId}' is ${state.phase}, not signed and waiting.`);
  }
  return [{ type: 'BumpRequested', data: command }];
}
