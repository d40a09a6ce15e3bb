import fc from 'fast-check';
import { expect, it } from 'vitest';
import { feeShares } from './fee-shares.js';

const WPKH = '00'.repeat(22);
const TR = '00'.repeat(34);
const part = (
  script: string,
  maxFeeSats: bigint | null,
  withdrawalId = 'w',
): Parameters<typeof feeShares>[1][number] => ({
  withdrawalId,
  script,
  maxFeeSats,
});

it('divides by the bytes of the outputs', () => {
  // 31 and 43 bytes with amount and length.
  expect(feeShares(740n, [part(WPKH, 1_000n), part(TR, 1_000n)])).toEqual({ accountSats: [310n, 430n], houseSats: 0n });
});

it('gives the satoshis that are left to the largest remainders, the first of equals first', () => {
  expect(feeShares(5n, [part(WPKH, 9n), part(WPKH, 9n), part(WPKH, 9n)]).accountSats).toEqual([2n, 2n, 1n]);
  // 31/74 and 43/74 of 2: 0.84 and 1.16.
  expect(feeShares(2n, [part(WPKH, 9n), part(TR, 9n)]).accountSats).toEqual([1n, 1n]);
});

it('costs an account no more than it allowed; the house pays the rest, and all of it where nothing was allowed', () => {
  expect(feeShares(740n, [part(WPKH, 100n), part(TR, null)])).toEqual({ accountSats: [100n, 0n], houseSats: 640n });
  expect(feeShares(740n, [part(WPKH, 0n)])).toEqual({ accountSats: [0n], houseSats: 740n });
});

it('sums to the fee, whatever it is, and respects every bound', () => {
  const parts = fc.array(
    fc.record({
      withdrawalId: fc.constant('w'),
      script: fc.integer({ min: 1, max: 300 }).map((bytes) => '00'.repeat(bytes)),
      maxFeeSats: fc.option(fc.bigInt({ min: 0n, max: 100_000n })),
    }),
    { minLength: 1, maxLength: 60 },
  );
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 10_000_000n }), parts, (feeSats, all) => {
      const { accountSats, houseSats } = feeShares(feeSats, all);
      expect(accountSats.reduce((sum, share) => sum + share, houseSats)).toBe(feeSats);
      expect(houseSats).toBeGreaterThanOrEqual(0n);
      const total = all.reduce((sum, { script }) => sum + bytesOf(script), 0n);
      for (const [at, { script, maxFeeSats }] of all.entries()) {
        const share = accountSats[at] ?? -1n;
        expect(share).toBeGreaterThanOrEqual(0n);
        expect(share).toBeLessThanOrEqual(maxFeeSats ?? 0n);
        // To the satoshi: never more than one above the exact share.
        expect(share * total).toBeLessThan(feeSats * bytesOf(script) + total);
      }
    }),
  );
});

function bytesOf(script: string): bigint {
  const length = script.length / 2;
  return BigInt(8 + (length < 253 ? 1 : 3) + length);
}
