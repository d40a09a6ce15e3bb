import type { ChosenFeeRate } from '../../bitcoin/payment/choose-fee-rate.js';
import { coinOfInput, type Coin } from '../../bitcoin/payment/coin.js';
import type { Planned } from '../../bitcoin/payment/plan-parts.js';
import type { PayoutDeferred } from '../../domain/events/payout-events.js';
import { isRejection } from '../../domain/rejection.js';
import { coinsReservedFor } from '../../domain/wallet/wallet-state.js';
import { backoffMs } from '../backoff.js';
import { feeRateFor } from '../fee-rate.js';
import { planFirst, readMeans, type Means } from '../make-payment.js';
import { paymentWallet, toCoins } from '../payment-wallet.js';
import { outpointsOf, type PayoutView } from '../payout-view.js';
import { forEachBounded, mustTell, OvertakenError, tell } from '../tell.js';
import type { WorkflowParts } from '../workflow-parts.js';

/** Withdrawals told at once that a payout has them: their appends are gathered into few commits. */
const ASSIGN_AT_ONCE = 500;
/** Tries to reserve coins that others take at the same moment. */
const MAX_TRIES = 5;
const RETRY = { firstMs: 1_000, maxMs: 60_000 };

/** A plan that was made just before for the same withdrawals, and what it was made of. */
export interface FreshPlan {
  means: Means;
  plan: Planned;
  fee: ChosenFeeRate;
}

/**
 * Gives a payout its withdrawals for good, its coins, and the first transaction. Each of the three is an event before the next
 * begins; after a crash this begins again and finds what is done done.
 */
export async function prepare(parts: WorkflowParts, payout: PayoutView, fresh?: FreshPlan): Promise<void> {
  // Another process that leads too was faster: its transaction counts, and a plan made without it is worth nothing.
  if (fresh !== undefined && payout.candidates.length > 0) return;
  if (!(await assignAll(parts, payout))) return;
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const made = tries === 0 && fresh !== undefined ? { ...fresh, keep: [] } : await makePlan(parts, payout);
    if (made === undefined) return;
    const { means, plan, fee } = made;
    const coins = [...made.keep, ...plan.added].map(({ txid, vout, amountSats }) => ({
      outpoint: `${txid}:${vout}`,
      amountSats,
    }));
    const { walletId, payoutId } = payout;
    const change = plan.changeVout === null ? null : means.change.reserve;
    const reserved = await tell(parts, parts.commands.reserveCoins({ walletId, payoutId, coins, change }));
    if (isRejection(reserved)) continue;
    await mustTell(
      parts,
      parts.commands.prepareCandidate({
        payoutId,
        candidate: payout.candidates.length,
        kind: 'payment',
        transaction: plan.transaction,
        feeSource: fee.source,
        feeReason: fee.reason.slice(0, 500),
      }),
    );
    parts.agenda.succeeded(payoutId, 'prepareMs');
    return;
  }
  throw new OvertakenError(`others take the coins of wallet ${payout.walletId} all the time`);
}

/** Withdrawals that were cancelled, or that another payout has, are left out. False where the payout has to be looked at again. */
async function assignAll(parts: WorkflowParts, { payoutId, withdrawals }: PayoutView): Promise<boolean> {
  let unchanged = true;
  await forEachBounded(withdrawals, ASSIGN_AT_ONCE, async ({ withdrawalId }) => {
    const assigned = await tell(parts, parts.commands.assignWithdrawal({ withdrawalId, payoutId }));
    if (!isRejection(assigned)) return;
    unchanged = false;
    await mustTell(parts, parts.commands.removeWithdrawal({ payoutId, withdrawalId, reason: assigned.detail }));
  });
  return unchanged;
}

async function makePlan(
  parts: WorkflowParts,
  payout: PayoutView,
): Promise<(FreshPlan & { keep: readonly Coin[] }) | undefined> {
  const { commands, network } = parts;
  const wallet = paymentWallet((await commands.walletState(payout.walletId)).created, network);
  if (wallet === undefined) return await defer(parts, payout, 'wallet-too-low', 'The wallet has no keys to pay with.');
  await leaveEarlierRounds(parts, payout);
  const means = await readMeans(parts, wallet);
  if (means === undefined) return await defer(parts, payout, 'node-unavailable', 'There is no block yet.');
  const fee = await feeRateFor(parts, payout);
  if (fee.kind === 'refused') return await defer(parts, payout, fee.reason, fee.detail);
  const keep = await coinsToKeep(parts, payout, means);
  const plan = planFirst(parts, means, fee, payout.withdrawals, keep);
  if (plan.kind === 'planned') return { means, plan, fee, keep };
  const reason = plan.reason === 'wallet-too-low' ? 'wallet-too-low' : 'fee-above-bound';
  return await defer(parts, payout, reason, plan.detail);
}

/** Coins of rounds that a person has ended are given back, and what else is held for no payment: it is chosen anew. */
async function leaveEarlierRounds(parts: WorkflowParts, payout: PayoutView): Promise<void> {
  const { payoutId, walletId, round, candidates } = payout;
  if (round === 0) return;
  const now = new Set(
    candidates.filter((candidate) => candidate.round === round).flatMap(({ transaction }) => outpointsOf(transaction)),
  );
  const held = coinsReservedFor(await parts.commands.walletState(walletId), payoutId);
  const outpoints = [...held].filter((outpoint) => !now.has(outpoint));
  if (outpoints.length === 0) return;
  await mustTell(parts, parts.commands.releaseCoins({ walletId, payoutId, outpoints, reason: 'conflict', round }));
}

/** What was prepared before in this round and made void keeps its inputs, and so does what was reserved before a crash. */
async function coinsToKeep(parts: WorkflowParts, payout: PayoutView, { state, tipHeight }: Means): Promise<Coin[]> {
  const planned = payout.candidates
    .filter(({ round }) => round === payout.round)
    .flatMap(({ transaction }) => transaction.inputs)
    .map(coinOfInput);
  const keep = new Map(planned.map((coin) => [`${coin.txid}:${coin.vout}`, coin]));
  const held = [...coinsReservedFor(state, payout.payoutId)].filter((outpoint) => !keep.has(outpoint));
  for (const coin of toCoins(await parts.work.coins(held), tipHeight)) keep.set(`${coin.txid}:${coin.vout}`, coin);
  return [...keep.values()];
}

async function defer(
  parts: WorkflowParts,
  { payoutId }: PayoutView,
  reason: PayoutDeferred['reason'],
  detail: string,
): Promise<undefined> {
  await mustTell(parts, parts.commands.deferPayout({ payoutId, reason, detail: detail.slice(0, 500) }));
  const failures = parts.agenda.failed(payoutId, 'prepareMs');
  parts.agenda.delay(payoutId, 'prepareMs', parts.now() + backoffMs(RETRY, failures, parts.random()));
  return undefined;
}
