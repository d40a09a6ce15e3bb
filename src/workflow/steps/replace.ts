import { rateOf } from '../../bitcoin/payment/assemble-transaction.js';
import { inWords, type ChosenFeeRate } from '../../bitcoin/payment/choose-fee-rate.js';
import type { RelayFees } from '../../bitcoin/payment/payment-node.js';
import { planChild } from '../../bitcoin/payment/plan-child.js';
import { planReplacement } from '../../bitcoin/payment/plan-replacement.js';
import { MAX_STANDARD_WEIGHT, type NotPlanned, type Planned } from '../../bitcoin/payment/plan-parts.js';
import {
  MAX_PAYOUT_INPUTS,
  type BumpRefused,
  type CandidatePrepared,
  type NodeAnswerKind,
} from '../../domain/events/payout-events.js';
import { isRejection } from '../../domain/rejection.js';
import type { WalletState } from '../../domain/wallet/wallet-state.js';
import { backoffMs } from '../backoff.js';
import { feeBudgetSats } from '../fee-budget.js';
import { feeRateFor, type FeeAnswer } from '../fee-rate.js';
import { planning, readMeans, type Means } from '../make-payment.js';
import type { ReplaceCause } from '../next-step.js';
import { changeCoins } from '../own-change.js';
import { paymentWallet, type PaymentWallet } from '../payment-wallet.js';
import { isTaken, newestSignedPayment, viewOf, type CandidateView, type PayoutView } from '../payout-view.js';
import { mustTell, tell } from '../tell.js';
import type { WorkflowParts } from '../workflow-parts.js';

/** What could not be replaced is looked at again when a block or a coin may have changed that. */
const RETRY = { firstMs: 5_000, maxMs: 600_000 };

/** Between two replacements that nobody has asked for, whatever the chain and the node say. */
const PACE_MS = 30_000;

type Refusal = Pick<BumpRefused, 'reason' | 'detail'>;
type Fee = ChosenFeeRate & { relay: RelayFees };

/**
 * Makes a payment that pays more for the same withdrawals from the same coins, or a child that pays for it where the node takes no
 * replacement. Where it cannot be had the payout says why, and goes on as it was.
 */
export async function replace(parts: WorkflowParts, payout: PayoutView, cause: ReplaceCause): Promise<void> {
  const { agenda, commands, now, random } = parts;
  const { payoutId } = payout;
  const made = await makeReplacement(parts, payout, cause);
  if (made === 'again') return;
  if (!('reason' in made)) {
    agenda.succeeded(payoutId, 'replaceMs');
    agenda.delay(payoutId, 'replaceMs', now() + PACE_MS);
    return;
  }
  const { reason, detail } = made;
  agenda.delay(payoutId, 'replaceMs', now() + backoffMs(RETRY, agenda.failed(payoutId, 'replaceMs'), random()));
  await mustTell(parts, commands.refuseBump({ payoutId, reason, detail: detail.slice(0, 500) }));
}

async function makeReplacement(
  parts: WorkflowParts,
  payout: PayoutView,
  cause: ReplaceCause,
): Promise<Refusal | 'again' | { kind: 'prepared' }> {
  const { commands, network } = parts;
  const wallet = paymentWallet((await commands.walletState(payout.walletId)).created, network);
  const newest = newestSignedPayment(payout);
  if (wallet === undefined || newest === undefined) {
    return { reason: 'not-replaceable', detail: 'There is no signed payment to replace.' };
  }
  const fee = await feeFor(parts, payout, newest, cause);
  if (fee.kind === 'refused') {
    return { reason: fee.reason === 'fee-above-bound' ? 'fee-above-bound' : 'refused-by-node', detail: fee.detail };
  }
  const payments = payout.candidates.filter(
    ({ kind, isVoid, signed }) => kind === 'payment' && !isVoid && signed.length > 0,
  );
  // Held by this payout itself nobody can build on it any more, and it can go.
  const pinnedBy = await holdOwnChange(parts, wallet, payout, payments);
  if (pinnedBy !== undefined) return await raiseWhatBuildsOnIt(parts, payout, pinnedBy, fee, hasRate(cause));
  const means = await readMeans(parts, wallet);
  if (means === undefined) return { reason: 'not-replaceable', detail: 'There is no block yet.' };
  const refused = refusedByNode(payout, newest);
  const parent = refused
    ? payments.find(({ signed }) => signed.some(({ lastAnswer }) => isTaken(lastAnswer)))
    : undefined;
  const isChild = parent !== undefined;
  const plan = isChild
    ? planChildOf(parts, payout, wallet, means, parent, fee)
    : planReplacementOf(parts, payout, means, payments, cause, fee);
  if (plan.kind === 'refused') return plan;
  return await prepareCandidate(parts, payout, means, plan, { kind: isChild ? 'child' : 'payment', fee });
}

async function feeFor(parts: WorkflowParts, payout: PayoutView, newest: CandidateView, cause: ReplaceCause) {
  const { confirmationTarget } = payout;
  const { feeSats, weight } = newest.transaction;
  const previousSatsPerKvb = rateOf(BigInt(feeSats), weight);
  switch (cause.kind) {
    case 'asked':
      return cause.feeRateSatsPerKvb === null
        ? asAsked(await feeRateFor(parts, { confirmationTarget, overdue: { previousSatsPerKvb, blocks: 0 } }))
        : await feeRateFor(parts, { confirmationTarget, askedSatsPerKvb: cause.feeRateSatsPerKvb });
    case 'deadline': {
      const blocks = cause.blocksOverdue;
      const target = Math.max(1, confirmationTarget - blocks);
      return await feeRateFor(parts, { confirmationTarget: target, overdue: { previousSatsPerKvb, blocks } });
    }
    case 'fee-too-low':
      return await feeRateFor(parts, { confirmationTarget, overdue: { previousSatsPerKvb, blocks: 0 } });
  }
}

/** A person asked for more and named no rate: what is enough was found, but nothing is overdue. */
function asAsked(fee: FeeAnswer): FeeAnswer {
  if (fee.kind === 'refused') return fee;
  const reason = `Asked for without a rate: ${inWords(fee.feeRateSatsPerKvb)} is what a replacement needs now.`;
  return { ...fee, source: 'asked', reason };
}

/** Reserves the change of the payout's own candidates for itself. Answers the payout that was faster, and builds on it. */
async function holdOwnChange(
  parts: WorkflowParts,
  wallet: PaymentWallet,
  { walletId, payoutId }: PayoutView,
  payments: readonly CandidateView[],
): Promise<string | undefined> {
  const { commands } = parts;
  const own = payments.flatMap((candidate) => candidate.signed.flatMap((form) => changeCoins(wallet, candidate, form)));
  if (own.length === 0) return undefined;
  const coins = own.map(({ txid, vout, amountSats }) => ({ outpoint: `${txid}:${vout}`, amountSats }));
  const held = await tell(parts, commands.reserveCoins({ walletId, payoutId, coins, change: null }));
  if (!isRejection(held)) return undefined;
  const state: WalletState = await commands.walletState(walletId);
  return coins.map(({ outpoint }) => state.reserved.get(outpoint)).find((by) => by !== undefined && by !== payoutId);
}

/**
 * Another payout spends the change: this payment cannot go away any more. That one is its child already, so it is raised so far that both
 * together pay the rate (CPFP).
 */
async function raiseWhatBuildsOnIt(
  parts: WorkflowParts,
  payout: PayoutView,
  byPayoutId: string,
  fee: Fee,
  isAsked: boolean,
): Promise<Refusal> {
  const { commands, policy, agenda } = parts;
  const builder = viewOf(await commands.payoutState(byPayoutId));
  const child = newestSignedPayment(builder);
  const newest = newestSignedPayment(payout);
  const detail = `Payout ${byPayoutId} builds on its change`;
  if (child === undefined || newest === undefined) {
    return { reason: 'not-replaceable', detail: `${detail}, and is not signed yet.` };
  }
  const lacking =
    (fee.feeRateSatsPerKvb * BigInt(newest.transaction.weight)) / 4000n - BigInt(newest.transaction.feeSats);
  const extra = lacking > 0n ? (lacking * 4000n) / BigInt(child.transaction.weight) : 0n;
  const bound = isAsked ? policy.maxFeeRateSatsPerKvb : boundForBoth(policy, payout, newest, builder, child);
  const wanted = fee.feeRateSatsPerKvb + extra;
  const feeRate = wanted < bound ? wanted : bound;
  const pays = rateOf(BigInt(child.transaction.feeSats), child.transaction.weight);
  if (pays >= wanted) return { reason: 'not-replaceable', detail: `${detail}, and pays for both already.` };
  if (pays >= feeRate) return { reason: 'fee-above-bound', detail: `${detail}, and pays what both may cost already.` };
  if (builder.bump === null) {
    const request = { payoutId: byPayoutId, withdrawalId: null, feeRateSatsPerKvb: feeRate.toString() };
    await tell(parts, commands.requestBump(request));
    agenda.hurry(byPayoutId);
  }
  return { reason: 'not-replaceable', detail: `${detail}: that one is raised to pay for both.` };
}

/** The rate at which a child costs what is left of its parent's budget, and its own. */
function boundForBoth(
  { feeBudgetPercent, maxFeeRateSatsPerKvb }: WorkflowParts['policy'],
  payout: PayoutView,
  newest: CandidateView,
  builder: PayoutView,
  child: CandidateView,
): bigint {
  const left = feeBudgetSats(payout, feeBudgetPercent) - BigInt(newest.transaction.feeSats);
  const budget = (left > 0n ? left : 0n) + feeBudgetSats(builder, feeBudgetPercent);
  const rate = rateOf(budget, child.transaction.weight);
  return rate < maxFeeRateSatsPerKvb ? rate : maxFeeRateSatsPerKvb;
}

/** A person who names a rate has decided; the bound is then that of the rate alone. */
function hasRate(cause: ReplaceCause): boolean {
  return cause.kind === 'asked' && cause.feeRateSatsPerKvb !== null;
}

/** The node has refused what was made to replace an older candidate, which it has; or somebody took a coin that was added for it. */
function refusedByNode(payout: PayoutView, newest: CandidateView): boolean {
  const refusals: readonly (NodeAnswerKind | null)[] = ['refused', 'fee-too-low', 'inputs-spent', 'replaced-by-better'];
  const isRefused = newest.signed.every(({ lastAnswer }) => refusals.includes(lastAnswer));
  return isRefused && payout.candidates.some(({ signed }) => signed.some(({ lastAnswer }) => isTaken(lastAnswer)));
}

function planReplacementOf(
  parts: WorkflowParts,
  payout: PayoutView,
  means: Means,
  payments: readonly CandidateView[],
  cause: ReplaceCause,
  fee: Fee,
): Planned | NotPlanned {
  const { policy } = parts;
  const asked = hasRate(cause);
  return planReplacement({
    ...planning(parts, means, fee.feeRateSatsPerKvb),
    coins: means.coins,
    maxInputs: MAX_PAYOUT_INPUTS,
    maxWeight: Math.min(MAX_STANDARD_WEIGHT, 2 * policy.maxWeight),
    maxFeeSats: asked ? null : feeBudgetSats(payout, policy.feeBudgetPercent),
    earlier: payments.map(({ transaction, signed }) => ({
      transaction,
      signed,
      descendantFeesSats: childrenOf(payout, signed).reduce(
        (sum, { transaction: { feeSats } }) => sum + BigInt(feeSats),
        0n,
      ),
    })),
    incrementalFeeRateSatsPerKvb: fee.relay.incrementalSatsPerKvb,
    maxFeeRateSatsPerKvb: policy.maxFeeRateSatsPerKvb,
    exactRate: asked,
    untouchableChange: new Set(),
  });
}

function childrenOf({ candidates }: PayoutView, parents: readonly { txid: string }[]): CandidateView[] {
  const txids = new Set(parents.map(({ txid }) => txid));
  return candidates.filter(
    ({ kind, isVoid, transaction }) =>
      kind === 'child' && !isVoid && transaction.inputs.some(({ txid }) => txids.has(txid)),
  );
}

function planChildOf(
  parts: WorkflowParts,
  payout: PayoutView,
  wallet: PaymentWallet,
  means: Means,
  parent: CandidateView,
  fee: Fee,
): Planned | NotPlanned {
  const taken = parent.signed.find(({ lastAnswer }) => isTaken(lastAnswer));
  const [change] = taken === undefined ? [] : changeCoins(wallet, parent, taken);
  if (change === undefined) {
    return {
      kind: 'refused',
      reason: 'not-replaceable',
      detail: 'The node takes no replacement, and there is no change to pay with.',
    };
  }
  const earlier = childrenOf(payout, parent.signed);
  // The parent's fee is paid as well.
  const left = feeBudgetSats(payout, parts.policy.feeBudgetPercent) - BigInt(parent.transaction.feeSats);
  return planChild({
    ...planning(parts, means, fee.feeRateSatsPerKvb),
    coins: means.coins,
    maxFeeSats: left > 0n ? left : 0n,
    parentChange: change,
    package: [{ feeSats: BigInt(parent.transaction.feeSats), weight: parent.transaction.weight }],
    earlierChildren: earlier.map(({ transaction: { feeSats, weight } }) => ({ feeSats: BigInt(feeSats), weight })),
    minimumFeeRateSatsPerKvb: fee.relay.minimumSatsPerKvb,
    incrementalFeeRateSatsPerKvb: fee.relay.incrementalSatsPerKvb,
  });
}

async function prepareCandidate(
  parts: WorkflowParts,
  payout: PayoutView,
  means: Means,
  plan: Planned,
  { kind, fee }: { kind: CandidatePrepared['kind']; fee: ChosenFeeRate },
): Promise<'again' | { kind: 'prepared' }> {
  const { commands } = parts;
  const { walletId, payoutId } = payout;
  const coins = plan.added.map(({ txid, vout, amountSats }) => ({ outpoint: `${txid}:${vout}`, amountSats }));
  const isNewChange = plan.transaction.outputs.some(
    ({ changeIndex, script }) => changeIndex !== null && script === means.change.reserve.script,
  );
  const change = isNewChange ? means.change.reserve : null;
  if (coins.length > 0 || change !== null) {
    const reserved = await tell(parts, commands.reserveCoins({ walletId, payoutId, coins, change }));
    // Somebody else was faster: look again.
    if (isRejection(reserved)) return 'again';
  }
  await mustTell(
    parts,
    commands.prepareCandidate({
      payoutId,
      candidate: payout.candidates.length,
      kind,
      transaction: plan.transaction,
      feeSource: fee.source,
      feeReason: fee.reason.slice(0, 500),
    }),
  );
  return { kind: 'prepared' };
}
