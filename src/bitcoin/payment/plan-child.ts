import { invariant } from '../../platform/assert.js';
import { assembleTransaction, rateOf } from './assemble-transaction.js';
import { inWords } from './choose-fee-rate.js';
import type { Coin } from './coin.js';
import { feeAtRate, feeRule, requiredFeeSats } from './fee-rule.js';
import {
  checkBounds,
  dustLimitOf,
  notPlanned,
  tooLow,
  type NotPlanned,
  type Planned,
  type PlanningParameters,
} from './plan-parts.js';
import { changeOutput } from './plan-payment.js';
import { selectCoins } from './select-coins.js';
import { outputWeight } from './transaction-weight.js';
import { outpointOf } from './unsigned-transaction.js';

export interface PlanChildParameters extends PlanningParameters {
  /** The change of a signed candidate. */
  parentChange: Coin;
  /** The candidate, and whatever unconfirmed it builds on itself: fee and weight as signed. */
  package: readonly { readonly feeSats: bigint; readonly weight: number }[];
  /** Children of the same candidate that the node may hold: this one replaces them. */
  earlierChildren: readonly { readonly feeSats: bigint; readonly weight: number }[];
  /** The node's relay minimum. */
  minimumFeeRateSatsPerKvb: bigint;
  /** The node's incremental relay fee. */
  incrementalFeeRateSatsPerKvb: bigint;
}

/**
 * Plans a child that pays for its parents (CPFP): it spends the change of a candidate, with confirmed coins where that is too
 * little, back to the wallet, and its fee makes the rate of all of them together the one asked for. For a candidate that cannot
 * be replaced because somebody builds on its change, this is another one that builds on it; so `parentChange` must be free.
 * Refused with `wallet-too-low`, `fee-above-bound`, and `fee-too-low` where the parents pay that rate already.
 */
export function planChild(parameters: PlanChildParameters): Planned | NotPlanned {
  checkBounds(parameters);
  const { parentChange, change, feeRateSatsPerKvb: wanted, earlierChildren } = parameters;
  const incremental = parameters.incrementalFeeRateSatsPerKvb;
  invariant(parameters.package.length > 0, 'a child has a parent');
  const parentFee = parameters.package.reduce((sum, { feeSats }) => sum + feeSats, 0n);
  const parentWeight = parameters.package.reduce((sum, { weight }) => sum + weight, 0);
  const lackingSats = feeAtRate(wanted, parentWeight) - parentFee;
  if (lackingSats <= 0n) {
    return notPlanned(
      'fee-too-low',
      `What it would pay for has ${inWords(rateOf(parentFee, parentWeight))} already; asked for were ${inWords(wanted)}.`,
    );
  }
  const outbid = earlierChildren.map(({ feeSats }) => ({ fixedSats: feeSats, rateSatsPerKvb: incremental }));
  const higher = earlierChildren.map(({ feeSats, weight }) => ({
    fixedSats: 0n,
    rateSatsPerKvb: rateOf(feeSats, weight) + 1n,
  }));
  const rule = feeRule(
    { fixedSats: lackingSats, rateSatsPerKvb: wanted },
    { fixedSats: 0n, rateSatsPerKvb: parameters.minimumFeeRateSatsPerKvb },
    ...outbid,
    ...higher,
  );
  // Everything that is not fee goes to the one output, which must not be dust.
  const selected = selectCoins({
    ...parameters,
    coins: parameters.coins.filter(({ blockHash, txid }) => blockHash !== null && txid !== parentChange.txid),
    keep: [parentChange],
    paysSats: dustLimitOf(change.script),
    outputs: 1,
    outputsWeight: outputWeight(change.script.length / 2),
    change: null,
    feeRule: rule,
  });
  if (selected.kind === 'too-low') return tooLow(selected.missingSats, selected.limited);
  if (selected.kind === 'too-dear') {
    return notPlanned(
      'fee-above-bound',
      `The child would pay ${selected.feeSats} satoshis; the bound is ${parameters.maxFeeSats}.`,
    );
  }
  const feeSats = BigInt(requiredFeeSats(rule, selected.weight));
  const inputSats = selected.coins.reduce((sum, { amountSats }) => sum + amountSats, 0n);
  const output = changeOutput(change, inputSats - feeSats);
  const transaction = assembleTransaction(selected.coins, [output], parameters, rateOf(feeSats, selected.weight));
  invariant(
    transaction.inputs.some((input) => outpointOf(input) === outpointOf(parentChange)),
    'a child spends its parent',
  );
  invariant(transaction.feeSats === feeSats.toString(), 'the fee is the one that was reckoned');
  return { kind: 'planned', transaction, added: selected.coins.slice(1), changeVout: 0, by: selected.by };
}
