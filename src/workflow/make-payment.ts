import type { Coin } from '../bitcoin/payment/coin.js';
import { inputWeight } from '../bitcoin/payment/transaction-weight.js';
import { planPayment } from '../bitcoin/payment/plan-payment.js';
import type { NotPlanned, Planned, PlanningParameters } from '../bitcoin/payment/plan-parts.js';
import { MAX_PAYOUT_INPUTS, type PaidWithdrawal } from '../domain/events/payout-events.js';
import type { WalletState } from '../domain/wallet/wallet-state.js';
import type { ChosenFeeRate } from '../bitcoin/payment/choose-fee-rate.js';
import { spendableOwnChange } from './own-change.js';
import { nextChange, redeemScriptOf, toCoins, type NextChange, type PaymentWallet } from './payment-wallet.js';
import type { WorkflowParts } from './workflow-parts.js';

/** Coins that a choice is made among: the largest. Reading and weighing more takes longer and pays no better. */
const MAX_COINS = 20_000;
/** Inputs of a first payment: leaves room for those that replacements add. */
const MAX_FIRST_INPUTS = MAX_PAYOUT_INPUTS - 100;

/** What plans of one wallet are made of, at one moment. */
export interface Means {
  wallet: PaymentWallet;
  state: WalletState;
  coins: readonly Coin[];
  /** Our own change that no block holds yet; taken only where the other coins do not suffice. */
  ownChange: readonly Coin[];
  change: NextChange;
  tipHeight: number;
}

export async function readMeans(
  parts: Pick<WorkflowParts, 'work' | 'commands' | 'policy' | 'network'>,
  wallet: PaymentWallet,
): Promise<Means | undefined> {
  const { work, commands, network } = parts;
  const tip = await work.tip();
  if (tip === null) return undefined;
  // The reservations are read after the coins: what is taken in between is left out.
  const known = await work.spendableCoins(wallet.walletId, MAX_COINS);
  const state = await commands.walletState(wallet.walletId);
  const coins = toCoins(known, tip.height).filter(({ txid, vout }) => !state.reserved.has(`${txid}:${vout}`));
  const ownChange = await spendableOwnChange(parts, wallet, state);
  const change = nextChange(wallet, state, network);
  return { wallet, state, coins, ownChange, change, tipHeight: tip.height };
}

/** What coins bring at a fee rate, after the fee for spending them: an upper bound of what can be paid. */
export function availableSats(coins: readonly Coin[], feeRateSatsPerKvb: bigint): bigint {
  return coins.reduce((sum, { amountSats, kind }) => {
    const worth = amountSats - (BigInt(inputWeight(kind)) * feeRateSatsPerKvb) / 4000n;
    return worth > 0n ? sum + worth : sum;
  }, 0n);
}

export function planning(
  { policy, random }: Pick<WorkflowParts, 'policy' | 'random'>,
  { wallet, change, tipHeight }: Means,
  feeRateSatsPerKvb: bigint,
): Omit<PlanningParameters, 'coins'> {
  return {
    change: change.plan,
    feeRateSatsPerKvb,
    longTermFeeRateSatsPerKvb: policy.longTermFeeRateSatsPerKvb,
    maxFeeSats: null,
    maxInputs: MAX_FIRST_INPUTS,
    maxWeight: policy.maxWeight,
    tipHeight,
    redeemScriptOf: redeemScriptOf(wallet),
    random,
  };
}

/** Plans a first payment: with confirmed coins where they do, else with our own change as well. */
export function planFirst(
  parts: Pick<WorkflowParts, 'policy' | 'random'>,
  means: Means,
  { feeRateSatsPerKvb }: ChosenFeeRate,
  withdrawals: readonly PaidWithdrawal[],
  keep: readonly Coin[],
): Planned | NotPlanned {
  const recipients = withdrawals.map(({ withdrawalId, script, amountSats }) => ({
    withdrawalId,
    script,
    amountSats: BigInt(amountSats),
  }));
  const parameters = { ...planning(parts, means, feeRateSatsPerKvb), recipients, keep };
  const plan = planPayment({ ...parameters, coins: means.coins });
  if (plan.kind === 'planned' || plan.reason !== 'wallet-too-low' || means.ownChange.length === 0) return plan;
  return planPayment({ ...parameters, coins: [...means.coins, ...means.ownChange] });
}
