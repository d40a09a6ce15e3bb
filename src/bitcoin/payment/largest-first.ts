import type { Choice } from './branch-and-bound.js';
import { at, type CoinPool } from './coin-pool.js';
import {
  addCoin,
  removeCoin,
  settle,
  weightWithoutChange,
  type SelectionTarget,
  type Totals,
} from './selection-target.js';

/**
 * The most valuable coins until they pay: the fewest inputs, and it always ends. What it cannot pay with coins of one kind,
 * no choice of as many of them can.
 *
 * @param largest places of the most valuable coins, the most valuable first
 * @returns a choice, or what the most that may be taken add up to
 */
export function largestFirst(pool: CoinPool, largest: Uint32Array, target: SelectionTarget): Choice | { most: Totals } {
  const picked: number[] = [];
  const totals = { ...target.kept };
  for (const coin of largest) {
    if (totals.inputs >= target.maxInputs) break;
    addCoin(totals, at(pool.sats, coin), at(pool.weight, coin));
    if (weightWithoutChange(target, totals) > target.maxWeight) {
      // A lighter one may still fit.
      removeCoin(totals, at(pool.sats, coin), at(pool.weight, coin));
      continue;
    }
    picked.push(coin);
    const settlement = settle(target, totals);
    if (settlement) return { picked, settlement };
  }
  return { most: totals };
}

/**
 * Places of the `count` most valuable coins of a pool, the most valuable first. By a heap of that many whose top is the least
 * of them: most coins are compared with the top and forgotten, so nothing sorts all of them.
 */
export function largestPlaces({ size, effective }: CoinPool, count: number): Uint32Array {
  const heap = new Uint32Array(Math.min(count, size));
  for (let place = 0; place < heap.length; place++) heap[place] = place;
  for (let root = (heap.length >>> 1) - 1; root >= 0; root--) sink(heap, effective, root);
  let least = heap.length > 0 ? at(effective, at(heap, 0)) : Infinity;
  for (let place = heap.length; place < size; place++) {
    if (at(effective, place) <= least) continue;
    heap[0] = place;
    sink(heap, effective, 0);
    least = at(effective, at(heap, 0));
  }
  // Places break ties, so that the same coins give the same choice on every machine.
  return heap.sort((a, b) => at(effective, b) - at(effective, a) || a - b);
}

function sink(heap: Uint32Array, value: Float64Array, from: number): void {
  const place = at(heap, from);
  let root = from;
  for (;;) {
    let child = 2 * root + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && at(value, at(heap, child + 1)) < at(value, at(heap, child))) child++;
    if (at(value, at(heap, child)) >= at(value, place)) break;
    heap[root] = at(heap, child);
    root = child;
  }
  heap[root] = place;
}
