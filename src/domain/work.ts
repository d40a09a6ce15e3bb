const TWO_TO_256 = 1n << 256n;

/**
 * Expected number of hashes that a block with this compact target took: 2^256 / (target + 1), as Bitcoin Core's `GetBlockProof`.
 * 0 for a target that is zero, negative or above 256 bits: such a block proves nothing.
 */
export function workOf(bits: number): bigint {
  const exponent = bits >>> 24;
  const mantissa = BigInt(bits & 0x007fffff);
  const negative = (bits & 0x00800000) !== 0;
  const target = exponent <= 3 ? mantissa >> BigInt(8 * (3 - exponent)) : mantissa << BigInt(8 * (exponent - 3));
  if (negative || target === 0n || target >= TWO_TO_256) return 0n;
  return TWO_TO_256 / (target + 1n);
}
