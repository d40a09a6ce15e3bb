import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { expectContiguous } from './expect-contiguous.js';

const at = (...positions: number[]): { position: bigint }[] => positions.map((n) => ({ position: BigInt(n) }));

describe('a consumer that holds position 41', () => {
  it('goes on with 42 and 43', () => {
    expect(expectContiguous(41n, at(42, 43))).toEqual({ next: at(42, 43), gap: undefined });
  });

  it('knows that it missed 42 when 43 comes', () => {
    expect(expectContiguous(41n, at(43, 44))).toEqual({ next: [], gap: { missing: 42n, found: 43n } });
  });

  it('takes what is before the gap and nothing after it', () => {
    expect(expectContiguous(41n, at(42, 44))).toEqual({ next: at(42), gap: { missing: 43n, found: 44n } });
  });

  it('drops what it has, also when it comes again in the middle', () => {
    expect(expectContiguous(41n, at(40, 41, 42, 42, 41, 43))).toEqual({ next: at(42, 43), gap: undefined });
    expect(expectContiguous(41n, at(40, 41))).toEqual({ next: [], gap: undefined });
  });

  it('never skips and never repeats, whatever is delivered', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 30 })), fc.integer({ min: 0, max: 30 }), (delivered, stand) => {
        const { next, gap } = expectContiguous(BigInt(stand), at(...delivered));
        expect(next).toEqual(at(...next.map((_, index) => stand + 1 + index)));
        if (gap) {
          expect(gap.missing).toBe(BigInt(stand + next.length + 1));
          expect(gap.found > gap.missing).toBe(true);
        }
      }),
    );
  });
});
