import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../test/support/test-coins.js';
import { drawDistinct, randomIndex, shuffled } from './random-order.js';

const ORDERS = 6;
const ROUNDS = 6_000;

function countOrders(orderOf: () => readonly number[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (let round = 0; round < ROUNDS; round++) {
    const order = orderOf().join();
    counts.set(order, (counts.get(order) ?? 0) + 1);
  }
  return counts;
}

describe('random order', () => {
  const random = seededRandom(11);
  const ways: [string, () => readonly number[]][] = [
    ['shuffled', () => shuffled([0, 1, 2], random)],
    [
      'drawn one by one',
      () => {
        const draw = drawDistinct(3, random);
        return [draw(), draw(), draw()];
      },
    ],
  ];

  it.each(ways)('%s gives every order alike', (_, orderOf) => {
    const counts = [...countOrders(orderOf).values()];
    expect(counts).toHaveLength(ORDERS);
    // The seed is fixed; five standard deviations are 144.
    for (const count of counts) expect(Math.abs(count - ROUNDS / ORDERS)).toBeLessThan(144);
  });

  it('leaves the list that it is given as it is', () => {
    const list = [1, 2, 3, 4];
    expect(shuffled(list, random).sort()).toEqual(list);
    expect(list).toEqual([1, 2, 3, 4]);
  });

  it('draws no more than there are', () => {
    const draw = drawDistinct(1, random);
    expect(draw()).toBe(0);
    expect(draw).toThrow(/no more/);
  });

  it('asks for numbers from 0 to below 1', () => {
    expect(() => randomIndex(() => 1, 10)).toThrow(/random number/);
    expect(() => randomIndex(() => Number.NaN, 10)).toThrow(/random number/);
    expect(randomIndex(() => 0.999_999, 10)).toBe(9);
  });
});
