import type { NodeAnswerKind, PaidWithdrawal, PlannedTransaction } from '../domain/events/payout-events.js';
import type { Signer } from '../domain/events/wallet-events.js';
import type { PayoutState } from '../domain/payout/payout-state.js';
import { invariant } from '../platform/assert.js';

/** A payout as the workflow looks at it: from the events of its stream alone. */
export interface PayoutView {
  readonly payoutId: string;
  readonly walletId: string;
  readonly signer: Signer;
  readonly confirmationTarget: number;
  readonly completeAt: number;
  readonly finalAt: number;
  /** Without those that were taken out. */
  readonly withdrawals: readonly PaidWithdrawal[];
  /** In the order in which they were prepared. */
  readonly candidates: readonly CandidateView[];
  /** A bump that was asked for and has come to nothing yet. */
  readonly bump: { readonly feeRateSatsPerKvb: bigint | null } | null;
  readonly halted: { readonly byTxid: string } | null;
  readonly settledTxid: string | null;
  /** 0, and one more with each time that a person decided to pay again with other coins. */
  readonly round: number;
  /** Over, and how: nothing more is sent. `resolved`: by a person, as paid or given up; what follows from it is still to be written. */
  readonly end: 'closed' | 'cancelled' | 'resolved' | null;
}

export interface CandidateView {
  readonly candidate: number;
  readonly kind: 'payment' | 'child';
  readonly transaction: PlannedTransaction;
  /** The payout's round in which it was made. */
  readonly round: number;
  /** It must not be signed or sent any more. */
  readonly isVoid: boolean;
  /** Usually one; two where a signer signed twice and the txids differ. */
  readonly signed: readonly SignedView[];
}

export interface SignedView {
  readonly txid: string;
  /** Of the event on the payout's stream that holds its bytes. */
  readonly revision: bigint;
  readonly changeVouts: readonly number[];
  readonly feeSats: bigint;
  readonly weight: number;
  readonly lastAnswer: NodeAnswerKind | null;
}

/** The node has it, in its mempool or in a block. */
export function isTaken(answer: NodeAnswerKind | null): boolean {
  return answer === 'accepted' || answer === 'already-known' || answer === 'already-in-chain';
}

export function viewOf(state: PayoutState): PayoutView {
  const { started, resolution, phase } = state;
  invariant(started !== null, 'a payout that is looked at has been started');
  const isResolved = resolution !== null && resolution.outcome !== 'pay-again';
  return {
    ...started,
    withdrawals: state.withdrawals,
    candidates: state.candidates.map((candidate) => ({
      ...candidate,
      isVoid: candidate.void,
      signed: candidate.signed.map((form) => ({ ...form, lastAnswer: state.offers[form.txid]?.answer ?? null })),
    })),
    bump:
      state.bump === null
        ? null
        : { feeRateSatsPerKvb: state.bump.feeRateSatsPerKvb === null ? null : BigInt(state.bump.feeRateSatsPerKvb) },
    halted: state.halt,
    settledTxid: state.settled?.txid ?? null,
    round: state.round,
    end: phase === 'closed' || phase === 'cancelled' ? phase : isResolved ? 'resolved' : null,
  };
}

/** The candidate that a transaction is of: by the txid that it was signed with, or the one it was made to have. */
export function candidateOf(payout: PayoutView, txid: string): CandidateView | undefined {
  return payout.candidates.find(
    ({ signed, transaction }) => transaction.txid === txid || signed.some((one) => one.txid === txid),
  );
}

/** Signed transactions that may be sent, the newest candidate first. */
export function sendable(payout: PayoutView): { of: CandidateView; signed: SignedView }[] {
  return payout.candidates
    .filter(({ isVoid }) => !isVoid)
    .flatMap((of) => of.signed.map((signed) => ({ of, signed })))
    .reverse();
}

/** The newest payment that is signed and not void. */
export function newestSignedPayment(payout: PayoutView): CandidateView | undefined {
  return payout.candidates.findLast(({ kind, isVoid, signed }) => kind === 'payment' && !isVoid && signed.length > 0);
}

export function isAnythingSigned(payout: PayoutView): boolean {
  return payout.candidates.some(({ signed }) => signed.length > 0);
}

export function outpointsOf(transaction: PlannedTransaction): string[] {
  return transaction.inputs.map(({ txid, vout }) => `${txid}:${vout}`);
}
