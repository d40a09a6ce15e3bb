import type { ChainFacts } from './ports.js';
import {
  candidateOf,
  isTaken,
  newestSignedPayment,
  outpointsOf,
  sendable,
  type CandidateView,
  type PayoutView,
} from './payout-view.js';

/** Why a payment is to be replaced by one with a higher fee. */
export type ReplaceCause =
  | { kind: 'asked'; feeRateSatsPerKvb: bigint | null }
  /** Its target is missed by so many blocks. */
  | { kind: 'deadline'; blocksOverdue: number }
  /** The node takes none of the candidates any more, because the least fee that it takes has risen. */
  | { kind: 'fee-too-low' };

/** What is to be done next for a payout. */
export type Step =
  | { kind: 'prepare' }
  | { kind: 'sign'; candidate: number }
  | { kind: 'offer' }
  | { kind: 'replace'; cause: ReplaceCause }
  | { kind: 'refuse-bump'; reason: 'confirmed'; detail: string }
  /** Its signer has sent it without telling us: what is in the block is made an event, as if it had been brought back. */
  | { kind: 'adopt'; candidate: number; txid: string; blockHash: string }
  /** Its signer may have sent it without telling us: the node is asked whether it has it. */
  | { kind: 'look'; candidate: number }
  | { kind: 'settle'; txid: string }
  | { kind: 'close'; txid: string; childTxids: readonly string[] }
  | { kind: 'halt'; outpoint: string; byTxid: string; blockHash: string; height: number }
  | { kind: 'resume'; byTxid: string }
  /** It is over: accounts and coins are told, and what a person resolved is closed. */
  | { kind: 'finish' }
  /** Nothing before this moment (milliseconds since 1970), or before something happens. */
  | { kind: 'wait'; untilMs: number | null };

/** Earliest moments, in milliseconds since 1970, for what is tried again. 0: at once. */
export interface NotBefore {
  prepareMs: number;
  signMs: number;
  /** What the node has not been asked about yet. */
  firstOfferMs: number;
  /** The same bytes again. */
  offerMs: number;
  replaceMs: number;
  /** Asking the node whether it has what nobody brought back. */
  lookMs: number;
  /** Taking out who holds up the others; 0: nobody does. */
  takeOutMs: number;
}

export const AT_ONCE: NotBefore = {
  prepareMs: 0,
  signMs: 0,
  firstOfferMs: 0,
  offerMs: 0,
  replaceMs: 0,
  lookMs: 0,
  takeOutMs: 0,
};

/**
 * Decides what comes next for a payout, from its events, what the chain says, and the clock. From the first signature on nothing leads
 * back to making another payment: only the same bytes again, or a replacement that spends the same coins.
 */
export function nextStep(payout: PayoutView, facts: ChainFacts, notBefore: NotBefore, nowMs: number): Step {
  if (payout.end !== null) return { kind: 'finish' };
  const ours = facts.confirmed.flatMap((place) => {
    const of = candidateOf(payout, place.txid);
    return of === undefined ? [] : [{ ...place, of, confirmations: facts.tip.height - place.height + 1 }];
  });
  const paid = ours.find(({ of, txid }) => of.kind === 'payment' && isOwn(of, txid));
  if (paid !== undefined) return afterPayment(payout, paid, ours, notBefore, nowMs);

  const [foreign] = foreignSpends(payout, facts, ours);
  const { halted } = payout;
  if (halted !== null) {
    const isStillThere = facts.foreign.some(({ byTxid }) => byTxid === halted.byTxid);
    return isStillThere || ours.some(({ txid }) => txid === halted.byTxid)
      ? { kind: 'wait', untilMs: null }
      : { kind: 'resume', byTxid: halted.byTxid };
  }
  if (foreign !== undefined) return { kind: 'halt', ...foreign };
  return towardsPayment(payout, facts, notBefore, nowMs);
}

/**
 * Whether it is a payment that we stand by: also one of an earlier round, which a reorg has brought back. What was voided before it was
 * signed is not.
 */
function isOwn({ isVoid, signed }: CandidateView, txid: string): boolean {
  return !isVoid || signed.some((form) => form.txid === txid);
}

interface Place {
  txid: string;
  blockHash: string;
  height: number;
  confirmations: number;
  of: CandidateView;
}

/** A payment is in a block: settle it when it is deep enough, and see it buried. */
function afterPayment(
  payout: PayoutView,
  paid: Place,
  ours: readonly Place[],
  notBefore: NotBefore,
  nowMs: number,
): Step {
  // Somebody took a coin that only another candidate spends: that did not stop this one.
  if (payout.halted !== null) return { kind: 'resume', byTxid: payout.halted.byTxid };
  const { of, txid, blockHash } = paid;
  if (of.signed.length === 0 && nowMs >= notBefore.signMs) {
    return { kind: 'adopt', candidate: of.candidate, txid, blockHash };
  }
  if (payout.settledTxid === null && paid.confirmations >= payout.completeAt)
    return { kind: 'settle', txid: paid.txid };
  if (payout.bump !== null) {
    return {
      kind: 'refuse-bump',
      reason: 'confirmed',
      detail: `${paid.txid} is in the block at height ${paid.height}.`,
    };
  }
  const children = ours.filter(({ of }) => of.kind === 'child');
  if (payout.settledTxid !== null && isBuried(payout, paid, children)) {
    return { kind: 'close', txid: paid.txid, childTxids: children.map(({ txid }) => txid) };
  }
  // A child that is not in a block yet still wants to get there: its coin is spent in it and nowhere else.
  const isChildWaiting = openChildren(payout, paid, children).length > 0;
  if (!isChildWaiting) return { kind: 'wait', untilMs: null };
  return nowMs >= notBefore.offerMs ? { kind: 'offer' } : { kind: 'wait', untilMs: notBefore.offerMs };
}

/** Signed children of the confirmed payment (and of its confirmed children) none of whose coin's spends is in a block. */
function openChildren(payout: PayoutView, paid: Place, confirmedChildren: readonly Place[]): string[] {
  const there = new Set([paid.txid, ...confirmedChildren.map(({ txid }) => txid)]);
  const spent = new Set(confirmedChildren.flatMap(({ of }) => outpointsOf(of.transaction)));
  return payout.candidates
    .filter(({ kind, signed, isVoid }) => kind === 'child' && !isVoid && signed.length > 0)
    .flatMap(({ transaction }) => transaction.inputs)
    .filter(({ txid, vout }) => there.has(txid) && !spent.has(`${txid}:${vout}`))
    .map(({ txid, vout }) => `${txid}:${vout}`);
}

function isBuried(payout: PayoutView, paid: Place, children: readonly Place[]): boolean {
  const areDeep = [paid, ...children].every(({ confirmations }) => confirmations >= payout.finalAt);
  return areDeep && openChildren(payout, paid, children).length === 0;
}

/** Spends of this payout's coins by others. What was prepared and made void must not be paid either: whoever sent it, it was not us. */
function foreignSpends(
  payout: PayoutView,
  facts: ChainFacts,
  ours: readonly Place[],
): { outpoint: string; byTxid: string; blockHash: string; height: number }[] {
  const voided = ours
    .filter(({ of, txid }) => !isOwn(of, txid))
    .map(({ txid, height, of }) => ({
      outpoint: outpointsOf(of.transaction)[0] ?? '',
      byTxid: txid,
      blockHash: facts.confirmed.find((place) => place.txid === txid)?.blockHash ?? '',
      height,
    }));
  // All payments of a round spend the coins of its first. One that only a later one added stops that one, and no other.
  const first = payout.candidates.find(({ kind, round }) => kind === 'payment' && round === payout.round);
  const common = first === undefined ? undefined : new Set(outpointsOf(first.transaction));
  // Before there is a payment, coins that are reserved count; not those that a person's decision has left behind.
  const isLive = ({ outpoint }: { outpoint: string }): boolean => common?.has(outpoint) ?? payout.round === 0;
  return [...facts.foreign.filter(isLive), ...voided];
}

/** Nothing is in a block: prepare, sign, send, and send again. */
function towardsPayment(payout: PayoutView, facts: ChainFacts, notBefore: NotBefore, nowMs: number): Step {
  const later: number[] = [];
  const due = (at: number): boolean => {
    if (nowMs >= at) return true;
    if (Number.isFinite(at)) later.push(at);
    return false;
  };
  const newest = payout.candidates.findLast(({ isVoid }) => !isVoid);
  if (newest === undefined) {
    return due(notBefore.prepareMs) ? { kind: 'prepare' } : { kind: 'wait', untilMs: notBefore.prepareMs };
  }
  const toSend = sendable(payout);
  if (toSend.some(({ signed }) => signed.lastAnswer === null) && due(notBefore.firstOfferMs)) return { kind: 'offer' };
  // What a person signs comes back over REST; nobody is asked.
  const isUnsigned = newest.signed.length === 0;
  if (isUnsigned && payout.signer !== 'none' && due(notBefore.signMs)) {
    return { kind: 'sign', candidate: newest.candidate };
  }
  // The keys of `local` are ours: nobody else can have signed it.
  if (isUnsigned && payout.signer !== 'local' && due(notBefore.lookMs)) {
    return { kind: 'look', candidate: newest.candidate };
  }
  if (toSend.length > 0 && due(notBefore.offerMs)) return { kind: 'offer' };
  const cause = isUnsigned ? undefined : causeToReplace(payout, facts);
  // A person who asks is answered at once, by a payment or by a refusal; what is done unasked has its pace.
  if (cause !== undefined && (cause.kind === 'asked' || due(notBefore.replaceMs))) return { kind: 'replace', cause };
  return { kind: 'wait', untilMs: later.length === 0 ? null : Math.min(...later) };
}

function causeToReplace(payout: PayoutView, facts: ChainFacts): ReplaceCause | undefined {
  const newest = newestSignedPayment(payout);
  // What nobody has been offered yet is not replaced, and what the node has not answered to is not too cheap.
  if (newest === undefined || newest.signed.some(({ lastAnswer }) => lastAnswer === null)) return undefined;
  if (payout.bump !== null) return { kind: 'asked', ...payout.bump };
  if (newest.signed.some(({ lastAnswer }) => lastAnswer === 'unknown')) return undefined;
  const answers = sendable(payout).map(({ signed }) => signed.lastAnswer);
  if (answers.includes('fee-too-low') && !answers.some(isTaken)) return { kind: 'fee-too-low' };
  // The newest that the node has, a payment or a child of one: what came after it and was refused did not begin another wait.
  const takenAt = payout.candidates
    .flatMap(({ signed }) => signed)
    .map(({ txid }) => facts.takenAt.get(txid))
    .filter((height) => height !== undefined);
  if (takenAt.length === 0) return undefined;
  const payments = payout.candidates.filter(
    ({ kind, isVoid, signed }) => kind === 'payment' && !isVoid && signed.length > 0,
  ).length;
  if (facts.tip.height - Math.max(...takenAt) < patience(payout.confirmationTarget, payments)) return undefined;
  const blocksOverdue = Math.max(0, facts.tip.height - Math.min(...takenAt) - payout.confirmationTarget);
  return { kind: 'deadline', blocksOverdue };
}

/**
 * Blocks that a candidate gets before it is replaced: the first the whole target, each later one half of what the one before
 * it got, because the deadline is past then.
 */
export function patience(confirmationTarget: number, payments: number): number {
  return Math.max(1, Math.floor(confirmationTarget / 2 ** (payments - 1)));
}
