import type { NodeAnswerKind, PaidWithdrawal, PlannedTransaction } from '../domain/events/payout-events.js';
import type { Signer } from '../domain/events/wallet-events.js';

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
  /** Over, and how: nothing more is sent. */
  readonly end: 'closed' | 'cancelled' | 'paid' | 'given-up' | null;
}

export interface CandidateView {
  readonly candidate: number;
  readonly kind: 'payment' | 'child';
  readonly transaction: PlannedTransaction;
  /** It must not be signed or sent any more. */
  readonly isVoid: boolean;
  /** Usually one; two where a signer signed twice and the txids differ. */
  readonly signed: readonly SignedView[];
}

export interface SignedView {
  readonly txid: string;
  /** Raw, in hex. */
  readonly transaction: string;
  readonly changeVouts: readonly number[];
  readonly feeSats: bigint;
  readonly lastAnswer: NodeAnswerKind | null;
}

/** The node has it, in its mempool or in a block. */
export function isTaken(answer: NodeAnswerKind | null): boolean {
  return answer === 'accepted' || answer === 'already-known' || answer === 'already-in-chain';
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
