import { invariant } from '../../platform/assert.js';

export interface FeePart {
  withdrawalId: string;
  /** scriptPubKey of its output, in hex. */
  script: string;
  /** Null: the house pays. */
  maxFeeSats: bigint | null;
}

export interface FeeShares {
  /** What each account pays, in the order given. */
  accountSats: readonly bigint[];
  /** What is left for the house. */
  houseSats: bigint;
}

/**
 * Divides a fee by the bytes of the outputs, to the satoshi: each part is rounded down, and the satoshis that are left go one each to
 * the largest remainders (Hamilton's method), the first of equals first. An account pays at most what it allowed; the house pays the rest.
 */
export function feeShares(feeSats: bigint, parts: readonly FeePart[]): FeeShares {
  invariant(parts.length > 0 && feeSats >= 0n, 'a fee is divided among those who are paid');
  const bytes = parts.map(({ script }) => BigInt(outputBytes(script)));
  const total = bytes.reduce((sum, each) => sum + each, 0n);
  const shares = bytes.map((each) => (feeSats * each) / total);
  const left = feeSats - shares.reduce((sum, share) => sum + share, 0n);
  const remainders = bytes
    .map((each, at) => ({ at, remainder: (feeSats * each) % total }))
    .sort((a, b) => (a.remainder === b.remainder ? a.at - b.at : a.remainder > b.remainder ? -1 : 1));
  for (const { at } of remainders.slice(0, Number(left))) shares[at] = (shares[at] ?? 0n) + 1n;
  const accountSats = shares.map((share, at) => {
    const max = parts[at]?.maxFeeSats ?? 0n;
    return share < max ? share : max;
  });
  return { accountSats, houseSats: feeSats - accountSats.reduce((sum, share) => sum + share, 0n) };
}

/** Amount, length and script. */
function outputBytes(script: string): number {
  const length = script.length / 2;
  return 8 + (length < 0xfd ? 1 : 3) + length;
}
