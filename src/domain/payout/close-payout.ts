import type { DomainEvent } from '../events/event-types.js';
import { reject, type Rejection } from '../rejection.js';
import { findOwn } from './payout-candidates.js';
import type { PayoutState } from './payout-state.js';
import { housePays } from './settle-payout.js';

export interface ClosePayout {
  payoutId: string;
  /** The payment that is buried `finalAt` deep; the foreign transaction where a person decided. */
  txid: string;
  /** Children of it that are in the chain as well. */
  childTxids: readonly string[];
}

/**
 * Ends a payout whose accounts are all settled, or given their money back. What the chain took beyond what was settled is the
 * house's: a child's fee, another payment after a reorg. No event where it is closed.
 */
export function closePayout(command: ClosePayout, state: PayoutState): DomainEvent[] | Rejection {
  const { payoutId, txid } = command;
  if (state.started === null) return reject('payout-not-found', `There is no payout '${payoutId}'.`);
  if (state.phase === 'closed') return [];
  const taken = takenByTheChain(command, state);
  if (taken === undefined || state.phase === 'halted' || (state.settled === null && state.phase !== 'given-up')) {
    return reject('payout-not-ready', `Payout '${payoutId}' is ${state.phase}; ${txid} does not close it.`);
  }
  const extraSats = taken - BigInt(state.settled?.feeSats ?? 0);
  return [
    {
      type: 'PayoutClosed',
      data: { payoutId, txid, extraFeeSats: extraSats.toString(), postings: housePays(extraSats) },
    },
  ];
}

/** Fees of what is in the chain for this payout; undefined where that cannot be what ended it. */
function takenByTheChain({ txid, childTxids }: ClosePayout, state: PayoutState): bigint | undefined {
  const { resolution } = state;
  if (resolution !== null && resolution.outcome !== 'pay-again') return resolution.byTxid === txid ? 0n : undefined;
  const payment = findOwn(state, txid);
  if (payment?.candidate.kind !== 'payment') return undefined;
  let taken = BigInt(payment.candidate.transaction.feeSats);
  for (const childTxid of new Set(childTxids)) {
    const child = findOwn(state, childTxid);
    if (child?.candidate.kind !== 'child') return undefined;
    taken += BigInt(child.candidate.transaction.feeSats);
  }
  return taken;
}
