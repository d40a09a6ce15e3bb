import type { DomainEvent } from '../events/event-types.js';
import type { CandidateOffered } from '../events/payout-events.js';
import { reject, type Rejection } from '../rejection.js';
import type { PayoutState } from './payout-state.js';

/** Keeps the node's answer to a signed transaction. No event where it is the same answer as the last one. */
export function recordOffer(command: CandidateOffered, state: PayoutState): DomainEvent[] | Rejection {
  const { payoutId, txid, answer } = command;
  if (state.phase === 'closed' || state.phase === 'cancelled') return [];
  if (!state.candidates.some(({ signed }) => signed.some((form) => form.txid === txid))) {
    return reject('payout-not-ready', `Payout '${payoutId}' has no signed transaction ${txid}.`);
  }
  if (state.offers[txid]?.answer === answer) return [];
  return [{ type: 'CandidateOffered', data: command }];
}
