import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { satsPerKvbOf } from './fee-amount.js';

describe('a fee rate of a node', () => {
  it.each([
    [0.00001, 1_000n],
    [0.0001, 10_000n],
    [0.00012345, 12_345n],
    [0.00004545454545454546, 4_546n],
    [1e-8, 1n],
    [1e-10, 1n],
    [0, 0n],
    [1, 100_000_000n],
  ])('of %d bitcoin is %d satoshis, rounded up', (value, sats) => {
    expect(satsPerKvbOf(value)).toBe(sats);
  });

  it.each([-1, -1e-8, Number.NaN, Number.POSITIVE_INFINITY, 1.1, 21_000_000, '0.0001', null, undefined, {}])(
    'is none where it is %s',
    (value) => {
      expect(satsPerKvbOf(value)).toBeUndefined();
    },
  );

  it('is exactly what it was written from, whatever binary fractions make of it', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 100_000_000 }), (sats) => {
        const written = `0.${String(sats).padStart(8, '0')}`;
        expect(satsPerKvbOf(Number(sats === 100_000_000 ? '1' : written))).toBe(BigInt(sats));
      }),
    );
  });
});
