const SATS_PER_BITCOIN = 1e8;
/** A rate above this is no rate: 1 bitcoin for 1000 vbytes is a thousand times what was ever due. */
const MAX_BITCOIN_PER_KVB = 1;
/** What binary fractions are off by, at this size, and much less than a satoshi. */
const TOLERANCE = 1e-4;

/**
 * A fee rate as nodes write it (bitcoin per 1000 vbytes, a JSON number) in satoshis, rounded up. btcd writes fractions of a satoshi
 * (0.00004545454545454546): money is never parsed like this.
 *
 * @returns undefined where it is no rate: not a number, negative, absurd
 */
export function satsPerKvbOf(value: unknown): bigint | undefined {
  if (typeof value !== 'number' || !(value >= 0 && value <= MAX_BITCOIN_PER_KVB)) return undefined;
  const scaled = value * SATS_PER_BITCOIN;
  const nearest = Math.round(scaled);
  return BigInt(Math.abs(scaled - nearest) < TOLERANCE ? nearest : Math.ceil(scaled));
}
