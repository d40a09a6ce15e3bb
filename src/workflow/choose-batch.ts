import { outputWeight } from '../bitcoin/payment/transaction-weight.js';
import { feeShares } from '../domain/payout/fee-shares.js';
import type { PaidWithdrawal } from '../domain/events/payout-events.js';
import type { WaitReason } from '../domain/events/withdrawal-events.js';
import type { Planned, NotPlanned } from '../bitcoin/payment/plan-parts.js';

/** Plans of one batch that are tried at most. Where one fails for all, each leaves out twice as many as the one before: it ends at one. */
const MAX_TRIES = 12;
/** Outputs take at most this part of a payment's weight, so that there is room for its inputs. */
const OUTPUTS_SHARE = 0.5;

export interface BatchLimits {
  maxWithdrawals: number;
  maxWeight: number;
}

/** As many of the longest waiting as one payment takes. A withdrawal that is too heavy alone is taken alone. */
export function firstBatch<W extends PaidWithdrawal>(waiting: readonly W[], limits: BatchLimits): W[] {
  const batch: W[] = [];
  let weight = 0;
  for (const withdrawal of waiting) {
    weight += outputWeight(withdrawal.script.length / 2);
    if (batch.length > 0 && weight > limits.maxWeight * OUTPUTS_SHARE) break;
    if (batch.length >= limits.maxWithdrawals) break;
    batch.push(withdrawal);
  }
  return batch;
}

export interface Deferral<W> {
  withdrawal: W;
  reason: WaitReason;
  detail: string;
}

export interface PayableBatch<W> {
  /** Undefined where nothing can be paid now. */
  payable: { withdrawals: readonly W[]; plan: Planned } | undefined;
  deferred: Deferral<W>[];
}

/**
 * Finds those of a batch that can be paid now. Who cannot, is left out with the reason and does not hold up the others: first those for
 * whom there is not enough even alone, then, in the order of their requests, who finds the rest taken by those before; then whose share of
 * the fee is more than it allows. Tries are bounded: what is not reached by them waits for the next round.
 *
 * @param availableSats what the wallet's coins bring after the fee for spending them
 */
export function payableBatch<W extends PaidWithdrawal>(
  batch: readonly W[],
  availableSats: bigint,
  tryPlan: (withdrawals: readonly W[]) => Planned | NotPlanned,
): PayableBatch<W> {
  const deferred: Deferral<W>[] = [];
  let left = affordable(batch, availableSats, deferred);
  let toDrop = 1;
  for (let tries = 0; tries < MAX_TRIES && left.length > 0; tries++) {
    const plan = tryPlan(left);
    if (plan.kind === 'planned') {
      const tooDear = aboveTheirBound(left, BigInt(plan.transaction.feeSats));
      if (tooDear.length === 0) return { payable: { withdrawals: left, plan }, deferred };
      deferred.push(...tooDear);
      const out = new Set(tooDear.map(({ withdrawal }) => withdrawal));
      left = left.filter((withdrawal) => !out.has(withdrawal));
      continue;
    }
    const reason = plan.reason === 'wallet-too-low' ? 'wallet-too-low' : 'fee-above-bound';
    // The smallest of them is tried alone before all are given up.
    const count = left.length === 1 ? 1 : Math.min(toDrop, left.length - 1);
    const out = new Set([...left].sort(largestFirst).slice(0, count));
    deferred.push(...[...out].map((withdrawal) => ({ withdrawal, reason, detail: plan.detail }) as const));
    left = left.filter((withdrawal) => !out.has(withdrawal));
    toDrop *= 2;
  }
  return { payable: undefined, deferred };
}

function largestFirst(a: PaidWithdrawal, b: PaidWithdrawal): number {
  const difference = BigInt(b.amountSats) - BigInt(a.amountSats);
  return difference > 0n ? 1 : difference < 0n ? -1 : 0;
}

function affordable<W extends PaidWithdrawal>(
  batch: readonly W[],
  availableSats: bigint,
  deferred: Deferral<W>[],
): W[] {
  let rest = availableSats;
  return batch.filter((withdrawal) => {
    const amount = BigInt(withdrawal.amountSats);
    if (amount <= rest) {
      rest -= amount;
      return true;
    }
    deferred.push({
      withdrawal,
      reason: 'wallet-too-low',
      detail: `The wallet has ${rest < 0n ? 0n : rest} satoshis left that may be spent now.`,
    });
    return false;
  });
}

/** Whose share of the fee, by the bytes of its output, is more than it allows. */
function aboveTheirBound<W extends PaidWithdrawal>(withdrawals: readonly W[], feeSats: bigint): Deferral<W>[] {
  const unbounded = withdrawals.map(({ withdrawalId, script }) => ({ withdrawalId, script, maxFeeSats: feeSats }));
  const { accountSats } = feeShares(feeSats, unbounded);
  return withdrawals.flatMap((withdrawal, at) => {
    const share = accountSats[at] ?? 0n;
    if (withdrawal.maxFeeSats === null || share <= BigInt(withdrawal.maxFeeSats)) return [];
    const detail = `Its share of the fee would be ${share} satoshis; it allows ${withdrawal.maxFeeSats}.`;
    return [{ withdrawal, reason: 'fee-above-bound' as const, detail }];
  });
}
