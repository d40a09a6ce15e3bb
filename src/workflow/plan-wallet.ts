import { deterministicUuid } from '../domain/event-id.js';
import type { PaidWithdrawal } from '../domain/events/payout-events.js';
import type { WaitReason } from '../domain/events/withdrawal-events.js';
import type { ChosenFeeRate } from '../bitcoin/payment/choose-fee-rate.js';
import { feeRateFor } from './fee-rate.js';
import { availableSats, planFirst, readMeans, type Means } from './make-payment.js';
import { firstBatch, payableBatch, type Deferral } from './choose-batch.js';
import { paymentWallet } from './payment-wallet.js';
import { viewOf } from './payout-view.js';
import type { WaitingWithdrawal, WalletWaiting } from './ports.js';
import { prepare } from './steps/prepare.js';
import { forEachBounded, mustTell } from './tell.js';
import type { WorkflowParts } from './workflow-parts.js';

/** Waiting withdrawals that are looked at in one go: some batches, so that those that cannot be paid do not hide the others. */
const MAX_LOOKED_AT = 1_000;
const DEFER_AT_ONCE = 50;

export type PlanOutcome =
  /** A payout was started; there may be more. */
  | { kind: 'started'; payoutId: string }
  /** The first of a batch waits for others, until this moment. */
  | { kind: 'gathering'; untilMs: number }
  /** None of those looked at can be paid now; there are more, after this position. */
  | { kind: 'more'; after: bigint }
  /** Nobody else waits. */
  | { kind: 'nothing' };

/**
 * Takes the longest waiting withdrawals of a wallet that can be paid together now, and starts a payout for them: coins first, and the
 * payout only when a transaction can be made. Those that cannot be paid are told why, and do not hold up the others.
 *
 * @param after position of a request: only later ones are looked at
 */
export async function planWallet(
  parts: WorkflowParts,
  { walletId }: Pick<WalletWaiting, 'walletId'>,
  after: bigint,
): Promise<PlanOutcome> {
  const { work, commands, policy, network, now } = parts;
  const waiting = await work.waitingWithdrawals(walletId, after, MAX_LOOKED_AT);
  const [longest] = waiting;
  if (longest === undefined) return { kind: 'nothing' };
  const full = firstBatch(waiting, policy).length < waiting.length || waiting.length >= policy.maxWithdrawals;
  const untilMs = longest.requestedAt.getTime() + policy.windowMs;
  if (!full && now() < untilMs) return { kind: 'gathering', untilMs };

  const wallet = paymentWallet((await commands.walletState(walletId)).created, network);
  const means = wallet && (await readMeans(parts, wallet));
  if (means === undefined) {
    await deferAll(parts, waiting, 'wallet-too-low', 'The wallet has no keys to pay with, or there is no block yet.');
    return { kind: 'nothing' };
  }
  const covered = await withoutFrozen(parts, waiting);
  // Nobody pays for another's hurry: a payout has one target.
  const targets = new Set(covered.map(({ confirmationTarget }) => confirmationTarget));
  for (const confirmationTarget of targets) {
    const group = covered.filter((withdrawal) => withdrawal.confirmationTarget === confirmationTarget);
    const started = await planGroup(parts, means, group, confirmationTarget);
    if (started !== undefined) return { kind: 'started', payoutId: started };
  }
  const last = waiting.at(-1);
  return waiting.length < MAX_LOOKED_AT || last === undefined
    ? { kind: 'nothing' }
    : { kind: 'more', after: last.position };
}

/** A reservation is worth nothing any more where a reorg took back what it was made of: such an account's payments wait until it is covered. */
async function withoutFrozen(
  parts: WorkflowParts,
  waiting: readonly WaitingWithdrawal[],
): Promise<WaitingWithdrawal[]> {
  const frozen = await parts.work.frozenAccounts([...new Set(waiting.map(({ accountId }) => accountId))]);
  const held = waiting.filter(({ accountId }) => frozen.has(accountId));
  await deferAll(
    parts,
    held,
    'account-frozen',
    'A reorg left the account below zero; it is paid when that is covered.',
  );
  return waiting.filter(({ accountId }) => !frozen.has(accountId));
}

/** Takes batch after batch of those with one target, until one can be paid. */
async function planGroup(
  parts: WorkflowParts,
  means: Means,
  group: readonly WaitingWithdrawal[],
  confirmationTarget: number,
): Promise<string | undefined> {
  const fee = await feeRateFor(parts, { confirmationTarget });
  if (fee.kind === 'refused') {
    await deferAll(parts, group, fee.reason, fee.detail);
    return undefined;
  }
  const spendable = [...means.coins, ...means.ownChange];
  let left = group;
  while (left.length > 0) {
    const batch = firstBatch(left, parts.policy);
    const { payable, deferred } = payableBatch(batch, availableSats(spendable, fee.feeRateSatsPerKvb), (withdrawals) =>
      planFirst(parts, means, fee, withdrawals, []),
    );
    await tellDeferred(parts, deferred);
    if (payable !== undefined) return await start(parts, means, fee, payable, confirmationTarget);
    left = left.slice(batch.length);
  }
  return undefined;
}

async function start(
  parts: WorkflowParts,
  means: Means,
  fee: ChosenFeeRate,
  { withdrawals, plan }: NonNullable<ReturnType<typeof payableBatch>['payable']>,
  confirmationTarget: number,
): Promise<string> {
  const { commands, policy } = parts;
  const { created } = means.state;
  const walletId = means.wallet.walletId;
  // The same withdrawals give the same payout, also where two processes believe that they lead.
  const payoutId = deterministicUuid('payout', ...withdrawals.map(({ withdrawalId }) => withdrawalId));
  await mustTell(
    parts,
    commands.startPayout({
      payoutId,
      walletId,
      signer: created?.signer ?? 'none',
      withdrawals: withdrawals.map(paidWithdrawal),
      confirmationTarget,
      completeAt: policy.completeAt,
      finalAt: policy.finalAt,
    }),
  );
  await prepare(parts, viewOf(await commands.payoutState(payoutId)), { means, plan, fee });
  return payoutId;
}

/** As it stands in the event, and nothing else. */
function paidWithdrawal(waiting: PaidWithdrawal): PaidWithdrawal {
  const { withdrawalId, accountId, address, script, amountSats, maxFeeSats } = waiting;
  return { withdrawalId, accountId, address, script, amountSats, maxFeeSats };
}

async function deferAll(
  parts: WorkflowParts,
  withdrawals: readonly WaitingWithdrawal[],
  reason: WaitReason,
  detail: string,
): Promise<void> {
  await tellDeferred(
    parts,
    withdrawals.map((withdrawal) => ({ withdrawal, reason, detail })),
  );
}

/** Only what is new: the reason that is recorded already is not told again. */
async function tellDeferred(parts: WorkflowParts, deferrals: readonly Deferral<WaitingWithdrawal>[]): Promise<void> {
  const news = deferrals.filter(({ withdrawal, reason }) => withdrawal.deferred?.reason !== reason);
  await forEachBounded(news, DEFER_AT_ONCE, async ({ withdrawal: { withdrawalId }, reason, detail }) => {
    await mustTell(parts, parts.commands.deferWithdrawal({ withdrawalId, reason, detail: detail.slice(0, 500) }));
  });
}
