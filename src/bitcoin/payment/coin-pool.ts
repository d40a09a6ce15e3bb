import { MAX_MONEY_SATS } from '../../domain/primitives.js';
import { invariant } from '../../platform/assert.js';
import type { ScriptKind } from '../descriptors/parse-descriptor.js';
import type { Coin } from './coin.js';
import { inputWeight } from './transaction-weight.js';

const MAX_SATS = Number(MAX_MONEY_SATS);

/** The coins that bring more than they cost to spend, in columns: at 100,000 coins objects and bigint cost more than the choice. */
export interface CoinPool {
  readonly size: number;
  readonly sats: Float64Array;
  readonly weight: Uint16Array;
  /** What each brings after the fee for its own input. */
  readonly effective: Float64Array;
  /** Where each stands in the list that the pool was made of. */
  readonly source: Uint32Array;
}

/**
 * @param ratePerKvb satoshis for 1000 vbytes
 * @throws InvariantError for an amount below zero or above 21 million coins: doubles would not be exact
 */
export function createCoinPool(coins: readonly Coin[], ratePerKvb: number): CoinPool {
  const sats = new Float64Array(coins.length);
  const weight = new Uint16Array(coins.length);
  const effective = new Float64Array(coins.length);
  const source = new Uint32Array(coins.length);
  let size = 0;
  // Coins of a wallet are nearly always of one kind.
  let lastKind: ScriptKind | undefined;
  let lastWeight = 0;
  let lastFee = 0;
  for (let i = 0; i < coins.length; i++) {
    const coin = coins[i];
    if (coin === undefined) continue;
    if (coin.kind !== lastKind) {
      lastKind = coin.kind;
      lastWeight = inputWeight(lastKind);
      lastFee = (lastWeight * ratePerKvb) / 4000;
    }
    const amount = Number(coin.amountSats);
    // The sentence is made only where it is needed.
    if (!(amount >= 0 && amount <= MAX_SATS)) invariant(false, `coin of ${coin.amountSats} satoshis`);
    if (amount <= lastFee) continue;
    sats[size] = amount;
    weight[size] = lastWeight;
    effective[size] = amount - lastFee;
    source[size] = i;
    size++;
  }
  return { size, sats, weight, effective, source };
}

/** The value at a place that is known to be in the array. */
export function at(column: Float64Array | Uint32Array | Uint16Array, index: number): number {
  const value = column[index];
  invariant(value !== undefined, 'an index beyond its column');
  return value;
}
