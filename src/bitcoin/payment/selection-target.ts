import { requiredFeeSats, type FeeRule } from './fee-rule.js';
import { inputWeight, weightOf } from './transaction-weight.js';

/*
 * Selection reckons in doubles, not bigint: 100,000 coins are looked at. All of it is exact, because amounts are whole satoshis
 * of at most 21 million coins, a quarter of 2^53.
 */

/** Inputs without a witness are told by their weight: no other kind has it. */
export const NO_WITNESS_WEIGHT = inputWeight('pkh');

/** What chosen coins add up to. One is changed in place while coins are tried: a new one for each would cost more than the sum. */
export interface Totals {
  sats: number;
  inputs: number;
  inputsWithoutWitness: number;
  inputsWeight: number;
}

export interface SelectionTarget {
  /** What coins that must be in bring; zeros where there are none. */
  readonly kept: Readonly<Totals>;
  /** Sum of the payments. */
  readonly paysSats: number;
  readonly outputs: number;
  readonly outputsWeight: number;
  /** What change costs to make, and later to spend; null where none may be made. */
  readonly change: { readonly outputWeight: number; readonly spendFeeSats: number; readonly dustSats: number } | null;
  readonly feeRule: FeeRule;
  readonly longTermRatePerKvb: number;
  readonly maxInputs: number;
  readonly maxWeight: number;
  /** What is left to the fee instead of change does not count against it. */
  readonly maxFeeSats: number;
}

/** How a set of coins would pay. */
export interface Settlement {
  readonly feeSats: number;
  /** What the rule demands; `feeSats` is more where what is left is not worth a change. */
  readonly requiredFeeSats: number;
  /** 0: without change. */
  readonly changeSats: number;
  readonly weight: number;
  readonly waste: number;
}

export function addCoin(totals: Totals, sats: number, weight: number): void {
  totals.sats += sats;
  totals.inputs += 1;
  if (weight === NO_WITNESS_WEIGHT) totals.inputsWithoutWitness += 1;
  totals.inputsWeight += weight;
}

export function removeCoin(totals: Totals, sats: number, weight: number): void {
  totals.sats -= sats;
  totals.inputs -= 1;
  if (weight === NO_WITNESS_WEIGHT) totals.inputsWithoutWitness -= 1;
  totals.inputsWeight -= weight;
}

export function weightWithoutChange(target: SelectionTarget, totals: Readonly<Totals>): number {
  const { inputs, inputsWithoutWitness, inputsWeight } = totals;
  return weightOf(inputs, inputsWithoutWitness, inputsWeight, target.outputs, target.outputsWeight);
}

/** What is left without change after the fee: negative where the coins do not suffice. */
export function excessSats(target: SelectionTarget, totals: Readonly<Totals>): number {
  return totals.sats - target.paysSats - requiredFeeSats(target.feeRule, weightWithoutChange(target, totals));
}

/**
 * How these coins pay the target, exactly; undefined where they do not suffice or there are too many of them. Change is made
 * only where it pays: what is left for it is more than it will cost to spend, and not dust. Otherwise it is left to the fee.
 */
export function settle(target: SelectionTarget, totals: Readonly<Totals>): Settlement | undefined {
  if (totals.inputs > target.maxInputs) return undefined;
  const weight = weightWithoutChange(target, totals);
  const feeSats = requiredFeeSats(target.feeRule, weight);
  const excess = totals.sats - target.paysSats - feeSats;
  if (excess < 0) return undefined;
  const { change } = target;
  const inputWaste = inputWasteOf(target, totals.inputsWeight);
  if (change !== null) {
    const outputs = target.outputs + 1;
    const outputsWeight = target.outputsWeight + change.outputWeight;
    const { inputs, inputsWithoutWitness, inputsWeight } = totals;
    const changedWeight = weightOf(inputs, inputsWithoutWitness, inputsWeight, outputs, outputsWeight);
    const changedFeeSats = requiredFeeSats(target.feeRule, changedWeight);
    const changeSats = totals.sats - target.paysSats - changedFeeSats;
    if (changeSats >= change.dustSats && changeSats > change.spendFeeSats) {
      // Too heavy with its change: without it the change would go to the miner.
      if (changedWeight > target.maxWeight) return undefined;
      const waste = inputWaste + (changedFeeSats - feeSats) + change.spendFeeSats;
      return { feeSats: changedFeeSats, requiredFeeSats: changedFeeSats, changeSats, weight: changedWeight, waste };
    }
  }
  if (weight > target.maxWeight) return undefined;
  return { feeSats: feeSats + excess, requiredFeeSats: feeSats, changeSats: 0, weight, waste: inputWaste + excess };
}

/**
 * What spending inputs of this weight costs now over what it would cost in the long term, in satoshis; negative when fees are low.
 * With the cost of change, or what goes to the miner instead, it is the waste metric (Erhardt, "An Evaluation of Coin Selection
 * Strategies", 2016; Bitcoin Core, coinselection.cpp, `RecalculateWaste`).
 */
export function inputWasteOf(target: SelectionTarget, inputsWeight: number): number {
  return (inputsWeight * (target.feeRule[0].ratePerKvb - target.longTermRatePerKvb)) / 4000;
}
