import { at, type CoinPool } from './coin-pool.js';
import type { FeeLine } from './fee-rule.js';
import {
  addCoin,
  excessSats,
  inputWasteOf,
  NO_WITNESS_WEIGHT,
  removeCoin,
  settle,
  weightWithoutChange,
  type SelectionTarget,
  type Settlement,
  type Totals,
} from './selection-target.js';

/**
 * Without a bound it may never end. Bitcoin Core allows itself 100,000 (coinselection.cpp, `TOTAL_TRIES`), half of the time of a
 * choice out of 100,000 coins. A try here does not go on by one coin, as there, but to the next one that does not overshoot.
 */
export const MAX_TRIES = 50_000;

/** Places in the pool, and how they pay. */
export interface Choice {
  readonly picked: readonly number[];
  readonly settlement: Settlement;
}

/**
 * Branch and bound (Erhardt 2016): the coins with the least waste among those that pay without change, none of which could be
 * left out. Depth first over the pool, the most valuable coin first; a branch ends where it pays, where all the rest would not be
 * enough, where it wastes as much as the best so far, and where every coin that is left overshoots.
 *
 * @param pool sorted by effective value, the highest first
 * @returns undefined where there is no such set, or none was found in `maxTries`
 */
export function branchAndBound(pool: CoinPool, target: SelectionTarget, maxTries = MAX_TRIES): Choice | undefined {
  const { size, sats, weight, effective } = pool;
  const rest = sumsFromEachOn(pool);
  const overshootSats = overshootOf(pool, target);
  const wasteGrows = target.feeRule[0].ratePerKvb > target.longTermRatePerKvb;
  const picked: number[] = [];
  const totals: Totals = { ...target.kept };
  let best: Choice | undefined;
  let leastWaste = Infinity;
  let next = 0;
  for (let tries = 0; tries < maxTries; tries++) {
    const weightNow = weightWithoutChange(target, totals);
    const slackSats = slackAfter(target.feeRule[0], target, totals, weightNow);
    let stop =
      slackSats + at(rest, next) < -1 ||
      weightNow > target.maxWeight ||
      (wasteGrows && inputWasteOf(target, totals.inputsWeight) >= leastWaste);
    if (!stop && slackSats >= -1 && excessSats(target, totals) >= 0) {
      stop = true;
      const settlement = settle(target, totals);
      const isBetter =
        settlement?.changeSats === 0 &&
        settlement.requiredFeeSats <= target.maxFeeSats &&
        settlement.waste < leastWaste;
      if (isBetter) {
        best = { picked: [...picked], settlement };
        leastWaste = settlement.waste;
      }
    }
    stop ||= totals.inputs >= target.maxInputs;
    const coin = stop
      ? size
      : firstAtMost(effective, next, size, overshootSats - leastSlack(target, totals, weightNow));
    if (coin < size) {
      addCoin(totals, at(sats, coin), at(weight, coin));
      picked.push(coin);
      next = coin + 1;
      continue;
    }
    const last = picked.pop();
    if (last === undefined) break;
    removeCoin(totals, at(sats, last), at(weight, last));
    next = last + 1;
    // Another coin of the same value in its place gives nothing that was not tried.
    while (next < size && sats[next] === sats[last] && weight[next] === weight[last]) next++;
  }
  return best;
}

/** Effective value of the coins from each place on; the last entry, beyond the pool, is 0. */
function sumsFromEachOn({ size, effective }: CoinPool): Float64Array {
  const sums = new Float64Array(size + 1);
  for (let i = size - 1; i >= 0; i--) sums[i] = at(sums, i + 1) + at(effective, i);
  return sums;
}

/**
 * What is left after a fee that is not rounded up. By the first line of the rule, which has the highest rate, what is left in the
 * end is at most this and the effective values of the coins that are added.
 */
function slackAfter(line: FeeLine, target: SelectionTarget, totals: Totals, weight: number): number {
  return totals.sats - target.paysSats - line.fixedSats - (line.ratePerKvb * weight) / 4000;
}

/** The same by the line that demands most: what is left now is at most this. */
function leastSlack(target: SelectionTarget, totals: Totals, weight: number): number {
  let least = totals.sats - target.paysSats;
  for (const line of target.feeRule) least = Math.min(least, slackAfter(line, target, totals, weight));
  return least;
}

/** Rounding to the vbyte, lengths that take two bytes more, marker and flag of the first witness. */
const UNEVEN_WEIGHT = 4 + 8 + 2;

/**
 * With more than this left, change would be made: no set without change. Rather too much than too little: what does not go
 * evenly with each coin (rounding, lengths, the byte that an input without witness weighs more beside one with) is added.
 */
function overshootOf(pool: CoinPool, target: SelectionTarget): number {
  const { change, kept } = target;
  if (change === null) return Infinity;
  let withoutWitness = kept.inputsWithoutWitness;
  for (let i = 0; i < pool.size; i++) if (pool.weight[i] === NO_WITNESS_WEIGHT) withoutWitness++;
  const mixed = withoutWitness > 0 && withoutWitness < kept.inputs + pool.size;
  const unevenWeight = 2 * UNEVEN_WEIGHT + (mixed ? target.maxInputs : 0);
  const feeSats = (target.feeRule[0].ratePerKvb * (change.outputWeight + unevenWeight)) / 4000;
  return feeSats + Math.max(change.dustSats, change.spendFeeSats) + 3;
}

/** The first place from `from` on with at most this value, in a column that falls; `size` where there is none. */
function firstAtMost(column: Float64Array, from: number, size: number, most: number): number {
  let low = from;
  let high = size;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (at(column, middle) <= most) high = middle;
    else low = middle + 1;
  }
  return low;
}
