import { invariant } from '../../platform/assert.js';
import type { Coin } from './coin.js';
import { branchAndBound, type Choice } from './branch-and-bound.js';
import { at, createCoinPool, type CoinPool } from './coin-pool.js';
import type { FeeRule } from './fee-rule.js';
import { largestFirst, largestPlaces } from './largest-first.js';
import { randomDraw } from './random-draw.js';
import { drawDistinct, type Random } from './random-order.js';
import { addCoin, excessSats, settle, type SelectionTarget, type Settlement, type Totals } from './selection-target.js';
import { inputWeight } from './transaction-weight.js';
import { outpointOf } from './unsigned-transaction.js';

/**
 * Coins that branch and bound looks at: its tries do not get through more of them, and to sort 100,000 takes longer than all the
 * rest. Larger wallets give it a random sample, in which sets without change are still plenty.
 */
export const MAX_BRANCHED_COINS = 1_000;

export interface SelectCoinsParameters {
  /** What may be spent: any number, in any order. One that is there twice, or also in `keep`, counts once. */
  coins: readonly Coin[];
  /** What must be spent: inputs of what was made before. */
  keep: readonly Coin[];
  /** Sum, number and weight of the payments, without change. */
  paysSats: bigint;
  outputs: number;
  outputsWeight: number;
  /** Weight of the change output, of the input that will spend it, and what would be dust; null: none may be made. */
  change: { outputWeight: number; spendWeight: number; dustSats: bigint } | null;
  feeRule: FeeRule;
  longTermFeeRateSatsPerKvb: bigint;
  maxInputs: number;
  maxWeight: number;
  /** The most that the fee may be, not counting what is left to it instead of change; null: no bound. */
  maxFeeSats: bigint | null;
  random: Random;
}

export interface SelectedCoins {
  kind: 'selected';
  /** Those kept first. */
  coins: Coin[];
  feeSats: bigint;
  /** 0: without change. */
  changeSats: bigint;
  /** Of the whole transaction once signed, at most. */
  weight: number;
  /** Satoshis, by the waste metric; negative where fees are low and coins get together. */
  wasteSats: number;
  by: 'kept' | 'branch-and-bound' | 'random-draw' | 'largest-first';
}

export interface CoinsTooDear {
  kind: 'too-dear';
  /** The lowest fee that was found. */
  feeSats: bigint;
}

export interface CoinsTooLow {
  kind: 'too-low';
  /** What the most valuable coins that may be taken lack for payments and fee. */
  missingSats: bigint;
  /** There are more coins that could help, but not in one transaction. */
  limited: boolean;
}

/**
 * Chooses the coins for a payment: of branch and bound, a random draw and the largest first the one with the least waste at the
 * rule's rate against the long-term rate; of equals the one with more inputs, as Bitcoin Core does. Coins that must be kept and
 * suffice are not added to.
 */
export function selectCoins(parameters: SelectCoinsParameters): SelectedCoins | CoinsTooDear | CoinsTooLow {
  const selected = selectAmong(parameters, parameters.coins);
  if (selected.kind !== 'selected' || areDistinct(selected.coins)) return selected;
  // Looking for this beforehand would cost more than the choice, and a wallet does not hold a coin twice.
  const known = new Set(parameters.keep.map(outpointOf));
  invariant(known.size === parameters.keep.length, 'a coin that is kept is kept once');
  const distinct = parameters.coins.filter((coin) => !known.has(outpointOf(coin)) && known.add(outpointOf(coin)));
  const again = selectAmong(parameters, distinct);
  invariant(again.kind !== 'selected' || areDistinct(again.coins), 'no coin is spent twice');
  return again;
}

function selectAmong(
  parameters: SelectCoinsParameters,
  coins: readonly Coin[],
): SelectedCoins | CoinsTooDear | CoinsTooLow {
  const target = targetOf(parameters);
  const enough = parameters.keep.length > 0 ? settle(target, target.kept) : undefined;
  if (enough && enough.requiredFeeSats > target.maxFeeSats) return tooDear([enough]);
  if (enough) return selectedOf(parameters, [], enough, 'kept');

  const pool = createCoinPool(coins, target.feeRule[0].ratePerKvb);
  const largest = largestPlaces(pool, target.maxInputs);
  const simple = largestFirst(pool, largest, target);
  const choices: { by: SelectedCoins['by']; choice: Choice; pool: CoinPool }[] = [];
  if ('picked' in simple) choices.push({ by: 'largest-first', choice: simple, pool });
  if (target.change !== null) {
    const drawn = randomDraw(pool, target, parameters.random);
    if (drawn) choices.push({ by: 'random-draw', choice: drawn, pool });
    const branched = branchedPool(pool, parameters.random);
    const bounded = branchAndBound(branched, target);
    if (bounded) choices.push({ by: 'branch-and-bound', choice: bounded, pool: branched });
  }
  if (choices.length === 0) return tooLow(target, 'most' in simple ? simple.most : target.kept, pool.size);
  const [first, ...others] = choices.filter(({ choice }) => choice.settlement.requiredFeeSats <= target.maxFeeSats);
  if (first === undefined) return tooDear(choices.map(({ choice }) => choice.settlement));
  const best = others.reduce((former, other) => (isBetter(other.choice, former.choice) ? other : former), first);
  const chosen = best.choice.picked.map((place) => {
    const coin = coins[at(best.pool.source, place)];
    invariant(coin !== undefined, 'a place in the pool is one in the list');
    return coin;
  });
  return selectedOf(parameters, chosen, best.choice.settlement, best.by);
}

function targetOf(parameters: SelectCoinsParameters): SelectionTarget {
  const { change, keep, longTermFeeRateSatsPerKvb: longTermRate } = parameters;
  invariant(parameters.paysSats >= 0n, 'payments are not negative');
  const kept: Totals = { sats: 0, inputs: 0, inputsWithoutWitness: 0, inputsWeight: 0 };
  for (const { amountSats, kind } of keep) addCoin(kept, Number(amountSats), inputWeight(kind));
  return {
    ...parameters,
    kept,
    paysSats: Number(parameters.paysSats),
    change: change && {
      outputWeight: change.outputWeight,
      spendFeeSats: (change.spendWeight * Number(longTermRate)) / 4000,
      dustSats: Number(change.dustSats),
    },
    longTermRatePerKvb: Number(longTermRate),
    maxFeeSats: parameters.maxFeeSats === null ? Infinity : Number(parameters.maxFeeSats),
  };
}

/** The coins for branch and bound, the most valuable first. */
function branchedPool(pool: CoinPool, random: Random): CoinPool {
  const size = Math.min(pool.size, MAX_BRANCHED_COINS);
  const draw = drawDistinct(pool.size, random);
  const chosen = Uint32Array.from({ length: size }, (_, place) => (size < pool.size ? draw() : place));
  chosen.sort((a, b) => at(pool.effective, b) - at(pool.effective, a) || a - b);
  const sats = new Float64Array(size);
  const weight = new Uint16Array(size);
  const effective = new Float64Array(size);
  const source = new Uint32Array(size);
  chosen.forEach((place, index) => {
    sats[index] = at(pool.sats, place);
    weight[index] = at(pool.weight, place);
    effective[index] = at(pool.effective, place);
    source[index] = at(pool.source, place);
  });
  return { size, sats, weight, effective, source };
}

function isBetter(choice: Choice, than: Choice): boolean {
  const difference = choice.settlement.waste - than.settlement.waste;
  return difference < 0 || (difference === 0 && choice.picked.length > than.picked.length);
}

function selectedOf(
  { keep, paysSats, maxInputs, maxWeight }: SelectCoinsParameters,
  chosen: readonly Coin[],
  { feeSats, changeSats, weight, waste }: Settlement,
  by: SelectedCoins['by'],
): SelectedCoins {
  const coins = [...keep, ...chosen];
  const inputSats = coins.reduce((sum, { amountSats }) => sum + amountSats, 0n);
  const fee = BigInt(feeSats);
  const change = BigInt(changeSats);
  invariant(inputSats === paysSats + fee + change, 'what goes in comes out');
  invariant(coins.length <= maxInputs && weight <= maxWeight, 'it is as large as it may be, at most');
  return { kind: 'selected', coins, feeSats: fee, changeSats: change, weight, wasteSats: waste, by };
}

function tooDear(settlements: readonly Settlement[]): CoinsTooDear {
  return { kind: 'too-dear', feeSats: BigInt(Math.min(...settlements.map(({ requiredFeeSats }) => requiredFeeSats))) };
}

function tooLow(target: SelectionTarget, most: Readonly<Totals>, usable: number): CoinsTooLow {
  const missing = -excessSats(target, most);
  // Enough, but its change does not fit any more: a vbyte's worth would be a wrong figure, so say 1.
  return {
    kind: 'too-low',
    missingSats: BigInt(Math.max(1, missing)),
    limited: usable > most.inputs - target.kept.inputs,
  };
}

function areDistinct(coins: readonly Coin[]): boolean {
  return new Set(coins.map(outpointOf)).size === coins.length;
}
