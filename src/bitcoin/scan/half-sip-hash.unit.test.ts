import { describe, expect, it } from 'vitest';
import { halfSipHash13, hashKeyOf } from './half-sip-hash.js';

describe('halfSipHash13', () => {
  const key = hashKeyOf(Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7));
  const counting = Uint8Array.from({ length: 64 }, (_, i) => i);

  it('gives the numbers that Linux tests its hsiphash with, for the bytes 0, 1, 2 …', () => {
    // lib/tests/siphash_kunit.c, 32-bit key, lengths 0 to 12.
    const expected = [
      0x5814c896, 0xe7e864ca, 0xbc4b0e30, 0x01539939, 0x7e059ea6, 0x88e3d89b, 0xa0080b65, 0x9d38d9d6, 0x577999b1,
      0xc839caed, 0xe4fa32cf, 0x959246ee, 0x6b28096c,
    ];
    expect(expected.map((_, length) => halfSipHash13(key, counting, 0, length))).toEqual(expected);
  });

  it('hashes a part of a buffer like the part alone, and depends on the key', () => {
    for (let offset = 0; offset < 8; offset++) {
      const alone = counting.slice(offset, offset + 25);
      expect(halfSipHash13(key, counting, offset, 25)).toBe(halfSipHash13(key, alone, 0, 25));
    }
    const other = hashKeyOf(Uint8Array.of(1, 1, 2, 3, 4, 5, 6, 7));
    expect(halfSipHash13(other, counting, 0, 25)).not.toBe(halfSipHash13(key, counting, 0, 25));
  });
});
