import type { PlannedTransaction } from '../events/payout-events.js';
import type { Candidate, PayoutState, SignedTransaction } from './payout-state.js';

export function outpointsOf({ inputs }: PlannedTransaction): string[] {
  return inputs.map(({ txid, vout }) => `${txid}:${vout}`);
}

/** Candidates of the round that pay the withdrawals, void ones included: somebody may hold a signature of what we voided. */
export function paymentsOfRound(state: PayoutState): readonly Candidate[] {
  return state.candidates.filter(({ kind, round }) => kind === 'payment' && round === state.round);
}

/**
 * Coins that every payment of the round spends, void ones included: those of the first, which all later ones keep. Only a spend of one
 * of these by somebody else keeps all of them from confirming. Undefined where there is no payment yet.
 */
export function decisiveInputs(state: PayoutState): string[] | undefined {
  const [first] = paymentsOfRound(state);
  return first && outpointsOf(first.transaction);
}

/** Coins that the next payment has to spend: those of all payments of the round. */
export function requiredInputs(state: PayoutState): string[] {
  return [...new Set(paymentsOfRound(state).flatMap(({ transaction }) => outpointsOf(transaction)))];
}

/** What may be signed, newest first. */
export function signableCandidates(state: PayoutState): readonly Candidate[] {
  return state.candidates.filter((candidate) => !candidate.void).reverse();
}

/** Whether a candidate of this round is signed: then its withdrawals are paid, or nobody is. */
export function isSigned(state: PayoutState): boolean {
  return state.candidates.some(({ round, signed }) => round === state.round && signed.length > 0);
}

/** The candidate that this transaction is, and its signed form where we have it. Of any round, but none that was voided unsigned. */
export function findOwn(
  state: PayoutState,
  txid: string,
): { candidate: Candidate; signed: SignedTransaction | undefined } | undefined {
  for (const candidate of state.candidates) {
    const signed = candidate.signed.find((form) => form.txid === txid);
    // A txid commits to all but the witnesses: a signer that broadcasts on its own broadcasts what was prepared.
    if (signed !== undefined || (!candidate.void && candidate.transaction.txid === txid)) return { candidate, signed };
  }
  return undefined;
}

/** Outpoints that are change of a signed candidate of this round. */
export function ownChange(state: PayoutState): ReadonlySet<string> {
  const outpoints = new Set<string>();
  for (const { round, signed } of state.candidates) {
    if (round !== state.round) continue;
    for (const { txid, changeVouts } of signed) for (const vout of changeVouts) outpoints.add(`${txid}:${vout}`);
  }
  return outpoints;
}
