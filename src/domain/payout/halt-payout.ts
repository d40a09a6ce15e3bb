import type { DomainEvent } from '../events/event-types.js';
import type { PayoutHalted } from '../events/payout-events.js';
import { reject, type Rejection } from '../rejection.js';
import { decisiveInputs, findOwn } from './payout-candidates.js';
import type { PayoutState } from './payout-state.js';

/**
 * Stops a payout: a transaction that is not ours spent one of its coins in a connected block. Nothing is paid until that block is
 * taken off or a person decides. No event where it is stopped, or over, where a person has decided about that very transaction,
 * where that is the payout's own, or where an earlier payment does without the coin.
 */
export function haltPayout(command: PayoutHalted, state: PayoutState): DomainEvent[] | Rejection {
  const { payoutId, byTxid, outpoint } = command;
  if (state.started === null) return reject('payout-not-found', `There is no payout '${payoutId}'.`);
  const isOver = state.resolution !== null && state.resolution.outcome !== 'pay-again';
  if (isOver || state.phase === 'halted' || state.phase === 'closed' || state.phase === 'cancelled') return [];
  if (state.resolvedTxids.includes(byTxid)) return [];
  // A coin that only a later payment spends stops that one alone: an earlier one goes on.
  if (!(decisiveInputs(state) ?? [outpoint]).includes(outpoint)) return [];
  // Its signature came back between the look at the chain and this: it was sent by who signed it.
  if (findOwn(state, byTxid) !== undefined) return [];
  return [{ type: 'PayoutHalted', data: command }];
}
