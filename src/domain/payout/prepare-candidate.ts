import type { DomainEvent } from '../events/event-types.js';
import type { CandidatePrepared } from '../events/payout-events.js';
import { reject, type Rejection } from '../rejection.js';
import { assertPlan } from './assert-plan.js';
import { outpointsOf } from './payout-candidates.js';
import type { PayoutState } from './payout-state.js';

/** Transactions made for one payout: one for each block of a day would be 144; beyond this something is wrong. */
export const MAX_CANDIDATES = 300;

export interface PrepareFacts {
  /** Whether the coin is reserved for this payout on its wallet's stream. */
  isReserved: (outpoint: string) => boolean;
  /** Whether this payout has the withdrawal, on the withdrawal's own stream. Once it has, it has for ever. */
  isAssigned: (withdrawalId: string) => boolean;
}

/**
 * Takes on a transaction to be signed. No event where there is a candidate of that number: somebody was first, and that one counts.
 *
 * @throws InvariantError for a plan that could pay twice, or other than asked: nothing is written
 */
export function prepareCandidate(
  command: CandidatePrepared,
  state: PayoutState,
  facts: PrepareFacts,
): DomainEvent[] | Rejection {
  const { payoutId, candidate, transaction } = command;
  if (state.started === null) return reject('payout-not-found', `There is no payout '${payoutId}'.`);
  if (isOver(state)) return reject('payout-not-ready', `Payout '${payoutId}' is ${state.phase}.`);
  if (candidate < state.candidates.length) return [];
  if (candidate > state.candidates.length || candidate >= MAX_CANDIDATES) {
    return reject('payout-not-ready', `Payout '${payoutId}' has ${state.candidates.length} candidates.`);
  }
  // A cancel was faster than the plan: that is nobody's mistake, and the plan is made anew.
  const left = transaction.outputs.find(
    ({ withdrawalId }) => withdrawalId !== null && state.removed.includes(withdrawalId),
  );
  if (left !== undefined) {
    return reject('payout-not-ready', `Payout '${payoutId}' does not pay withdrawal '${left.withdrawalId}' any more.`);
  }
  const unassigned = state.withdrawals.find(({ withdrawalId }) => !facts.isAssigned(withdrawalId));
  if (unassigned !== undefined) {
    return reject(
      'payout-not-ready',
      `Withdrawal '${unassigned.withdrawalId}' is not assigned to payout '${payoutId}'.`,
    );
  }
  const unreserved = outpointsOf(transaction).find((outpoint) => !facts.isReserved(outpoint));
  if (unreserved !== undefined) {
    return reject('payout-not-ready', `Coin ${unreserved} is not reserved for payout '${payoutId}'.`);
  }
  assertPlan(command, state);
  return [{ type: 'CandidatePrepared', data: command }];
}

function isOver({ phase, resolution }: PayoutState): boolean {
  if (phase === 'halted' || phase === 'given-up' || phase === 'closed' || phase === 'cancelled') return true;
  return resolution?.outcome === 'paid';
}
