import * as ecc from '@bitcoinerlab/secp256k1';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addMultiplesOfG, type Point } from './batch-points.js';

const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
const bytes = (value: bigint): Uint8Array => Buffer.from(value.toString(16).padStart(64, '0'), 'hex');

function pointOf(scalar: bigint): Point {
  const point = Buffer.from(ecc.pointFromScalar(bytes(scalar), false) ?? []).toString('hex');
  return { x: BigInt(`0x${point.slice(2, 66)}`), y: BigInt(`0x${point.slice(66)}`) };
}

describe('addMultiplesOfG', () => {
  it('gives the sums of the library, for edges and for anything', () => {
    const scalar = fc.oneof(
      fc.bigInt({ min: 1n, max: ORDER - 1n }),
      fc.constantFrom(1n, 2n, 255n, 256n, 257n, ORDER - 1n, ORDER - 2n, 1n << 255n, (1n << 128n) - 1n),
      // One byte set, the others zero.
      fc
        .tuple(fc.integer({ min: 0, max: 31 }), fc.integer({ min: 1, max: 255 }))
        .map(([at, byte]) => BigInt(byte) << BigInt(8 * at)),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(scalar, scalar), { minLength: 1, maxLength: 8 }), (pairs) => {
        const usable = pairs.filter(([a, b]) => a < ORDER && b < ORDER);
        const sums = addMultiplesOfG(
          usable.map(([a]) => pointOf(a)),
          usable.map(([, b]) => bytes(b)),
        );
        for (const [n, [a, b]] of usable.entries()) {
          const sum = sums[n];
          // Undefined: the library has to be asked. It must not happen but where points with one x meet on the way.
          if (sum === undefined) continue;
          expect(sum).toEqual(pointOf((a + b) % ORDER));
        }
      }),
      { numRuns: 60 },
    );
  });

  it('says that it does not know where a point is added to itself or its opposite, and gets the others right', () => {
    const [seven, minusSeven, nine] = [pointOf(7n), pointOf(ORDER - 7n), pointOf(9n)];
    expect(addMultiplesOfG([seven, minusSeven, nine], [bytes(7n), bytes(7n), bytes(7n)])).toEqual([
      undefined,
      undefined,
      pointOf(16n),
    ]);
  });

  it('knows the sums of random points, always', () => {
    const pairs = Array.from(
      { length: 100 },
      (_, n) => [BigInt(n + 1) ** 31n % ORDER, BigInt(n + 7) ** 33n % ORDER] as const,
    );
    const sums = addMultiplesOfG(
      pairs.map(([a]) => pointOf(a)),
      pairs.map(([, b]) => bytes(b)),
    );
    expect(sums).toEqual(pairs.map(([a, b]) => pointOf((a + b) % ORDER)));
  });
});
