import type { DomainEvent } from '../events/event-types.js';
import type {
  BumpRefused,
  BumpRequested,
  CandidateOffered,
  CandidatePrepared,
  NodeAnswerKind,
  PaidWithdrawal,
  PayoutDeferred,
  PayoutHalted,
  PayoutResolved,
  PayoutSettled,
  PayoutStarted,
} from '../events/payout-events.js';

/**
 * Where a payout stands. `started`: nothing that could be signed yet. `prepared`: there is something to sign. `signed`: from here
 * nothing leads back. `settled`: a payment was `completeAt` deep. `halted`: somebody else spent a coin, a person decides.
 * `closed`, `cancelled` are the end; `given-up` is followed by `closed`.
 */
export type PayoutPhase =
  'none' | 'started' | 'prepared' | 'signed' | 'settled' | 'halted' | 'given-up' | 'closed' | 'cancelled';

/** A signed form of a candidate. Its bytes are in the event, not in memory: 10,000 open payouts of 100 kB would be a gigabyte. */
export interface SignedTransaction {
  readonly txid: string;
  readonly changeVouts: readonly number[];
  readonly feeSats: bigint;
  readonly weight: number;
  /** Revision of its `CandidateSigned` on the payout's stream. */
  readonly revision: bigint;
}

export interface Candidate {
  /** 0, 1, 2 … in the payout. */
  readonly candidate: number;
  readonly kind: CandidatePrepared['kind'];
  readonly transaction: CandidatePrepared['transaction'];
  readonly feeSource: CandidatePrepared['feeSource'];
  /** 0, and one more with each `pay-again`. Only within a round do candidates exclude one another. */
  readonly round: number;
  /** It must not be signed any more: a withdrawal that it pays was taken out, or its round is over. */
  readonly void: boolean;
  /** Usually one; two where signing again gave another txid. */
  readonly signed: readonly SignedTransaction[];
}

export interface PayoutState {
  readonly phase: PayoutPhase;
  readonly started: PayoutStarted | null;
  /** Events of the stream so far: the revision of the next one. */
  readonly events: number;
  /** Those that it pays: without what was taken out. */
  readonly withdrawals: readonly PaidWithdrawal[];
  /** Ids of those that were taken out. */
  readonly removed: readonly string[];
  readonly round: number;
  /** All of them; empty once the payout is closed or cancelled. */
  readonly candidates: readonly Candidate[];
  /** The node's last answer by txid. */
  readonly offers: Readonly<Record<string, { readonly answer: NodeAnswerKind; readonly detail: string }>>;
  /** Why it does not go on. */
  readonly deferred: Pick<PayoutDeferred, 'reason' | 'detail'> | null;
  /** A bump that was asked for and not answered yet. */
  readonly bump: Pick<BumpRequested, 'withdrawalId' | 'feeRateSatsPerKvb'> | null;
  /** Why the last bump came to nothing; null once there was a new candidate or a new request. */
  readonly refusal: Pick<BumpRefused, 'reason' | 'detail'> | null;
  readonly halt: Omit<PayoutHalted, 'payoutId'> | null;
  /** The last thing that a person decided. */
  readonly resolution: Pick<PayoutResolved, 'outcome' | 'byTxid'> | null;
  /** Foreign transactions that a person has decided about: they do not halt it again. */
  readonly resolvedTxids: readonly string[];
  /** What was settled, in whichever round. */
  readonly settled: (Omit<PayoutSettled, 'payoutId' | 'postings'> & { readonly round: number }) | null;
}

export const initialPayoutState: PayoutState = {
  phase: 'none',
  started: null,
  events: 0,
  withdrawals: [],
  removed: [],
  round: 0,
  candidates: [],
  offers: {},
  deferred: null,
  bump: null,
  refusal: null,
  halt: null,
  resolution: null,
  resolvedTxids: [],
  settled: null,
};

export function evolvePayout(before: PayoutState, event: DomainEvent): PayoutState {
  const state = apply(before, event);
  return { ...state, events: before.events + 1, phase: phaseAfter(state, event) };
}

function apply(state: PayoutState, event: DomainEvent): PayoutState {
  switch (event.type) {
    case 'PayoutStarted':
      return { ...state, started: event.data, withdrawals: event.data.withdrawals };
    case 'WithdrawalRemoved': {
      const { withdrawalId } = event.data;
      return {
        ...state,
        withdrawals: state.withdrawals.filter((other) => other.withdrawalId !== withdrawalId),
        removed: [...state.removed, withdrawalId],
        candidates: state.candidates.map(voided),
      };
    }
    case 'CandidatePrepared': {
      const { candidate, kind, transaction, feeSource } = event.data;
      const prepared = { candidate, kind, transaction, feeSource, round: state.round, void: false, signed: [] };
      return { ...state, candidates: [...state.candidates, prepared], deferred: null, bump: null, refusal: null };
    }
    case 'CandidateSigned': {
      const { candidate, txid, changeVouts, feeSats, weight } = event.data;
      const signed = { txid, changeVouts, feeSats: BigInt(feeSats), weight, revision: BigInt(state.events) };
      return {
        ...state,
        candidates: state.candidates.map((other) =>
          other.candidate === candidate ? { ...other, signed: [...other.signed, signed] } : other,
        ),
        deferred: null,
      };
    }
    case 'CandidateOffered':
      return withOffer(state, event.data);
    case 'PayoutDeferred':
      return { ...state, deferred: { reason: event.data.reason, detail: event.data.detail } };
    case 'BumpRequested': {
      const { withdrawalId, feeRateSatsPerKvb } = event.data;
      return { ...state, bump: { withdrawalId, feeRateSatsPerKvb }, refusal: null };
    }
    case 'BumpRefused':
      return { ...state, bump: null, refusal: { reason: event.data.reason, detail: event.data.detail } };
    case 'PayoutHalted': {
      const { outpoint, byTxid, blockHash, height } = event.data;
      return { ...state, halt: { outpoint, byTxid, blockHash, height } };
    }
    case 'PayoutResumed':
      return { ...state, halt: null };
    case 'PayoutResolved': {
      const { outcome, byTxid } = event.data;
      const resolved: PayoutState = {
        ...state,
        halt: null,
        bump: null,
        deferred: null,
        resolution: { outcome, byTxid },
        resolvedTxids: [...state.resolvedTxids, byTxid],
      };
      if (outcome !== 'pay-again') return resolved;
      return { ...resolved, round: state.round + 1, candidates: state.candidates.map(voided) };
    }
    case 'PayoutSettled': {
      const { txid, feeSats, houseFeeSats, shares } = event.data;
      return { ...state, settled: { txid, feeSats, houseFeeSats, shares, round: state.round } };
    }
    case 'PayoutClosed':
    case 'PayoutCancelled':
      // Never looked at again: let go of what takes memory.
      return { ...state, candidates: [], offers: {}, bump: null, deferred: null, refusal: null };
    default:
      return state;
  }
}

function phaseAfter(state: PayoutState, event: DomainEvent): PayoutPhase {
  if (event.type === 'PayoutClosed') return 'closed';
  if (event.type === 'PayoutCancelled') return 'cancelled';
  if (state.phase === 'closed' || state.phase === 'cancelled') return state.phase;
  if (state.started === null) return 'none';
  if (state.halt !== null) return 'halted';
  if (state.resolution?.outcome === 'give-up') return 'given-up';
  if (state.settled?.round === state.round || state.resolution?.outcome === 'paid') return 'settled';
  const live = state.candidates.filter((candidate) => candidate.round === state.round && !candidate.void);
  if (live.some(({ signed }) => signed.length > 0)) return 'signed';
  return live.length > 0 ? 'prepared' : 'started';
}

function voided(candidate: Candidate): Candidate {
  return candidate.void ? candidate : { ...candidate, void: true };
}

function withOffer(state: PayoutState, { txid, answer, detail }: CandidateOffered): PayoutState {
  return { ...state, offers: { ...state.offers, [txid]: { answer, detail } }, deferred: null };
}

export function payoutStream(payoutId: string): string {
  return `payout-${payoutId}`;
}
