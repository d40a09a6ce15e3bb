import { invariant } from '../../platform/assert.js';

/**
 * Numbers from 0 to below 1, as `Math.random` gives them. For the choice of coins, the order of inputs and outputs and lock times,
 * never for a secret; passed in, so that a plan can be made again.
 */
export type Random = () => number;

/** A whole number from 0 to below `count`. */
export function randomIndex(random: Random, count: number): number {
  const value = random();
  invariant(value >= 0 && value < 1, `random number ${value} is not from 0 to below 1`);
  return Math.floor(value * count);
}

/** The same items in random order (Fisher and Yates). */
export function shuffled<Item>(items: readonly Item[], random: Random): Item[] {
  const left = [...items];
  const order: Item[] = [];
  while (left.length > 0) {
    const index = randomIndex(random, left.length);
    const last = left.pop();
    const chosen = index < left.length ? left[index] : last;
    invariant(chosen !== undefined && last !== undefined, 'an item at each index');
    if (index < left.length) left[index] = last;
    order.push(chosen);
  }
  return order;
}

/**
 * Draws whole numbers from 0 to below `count`, none of them twice. What it remembers grows with what is drawn, not with `count`
 * (Fisher and Yates, with only the places that changed).
 */
export function drawDistinct(count: number, random: Random): () => number {
  const changed = new Map<number, number>();
  let drawn = 0;
  return () => {
    invariant(drawn < count, 'no more than there are can be drawn');
    const place = drawn + randomIndex(random, count - drawn);
    const value = changed.get(place) ?? place;
    changed.set(place, changed.get(drawn) ?? drawn);
    drawn++;
    return value;
  };
}
