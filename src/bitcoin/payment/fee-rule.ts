import { invariant } from '../../platform/assert.js';
import { MAX_MONEY_SATS } from '../../domain/primitives.js';
import { vbytesOf } from './transaction-weight.js';

/** Above any fee rate that a configuration allows, and low enough that rate times size stays exact in a double. */
export const MAX_FEE_RATE_SATS_PER_KVB = 1_000_000_000n;

/** `fixedSats` and `ratePerKvb` satoshis for each 1000 vbytes, rounded up. */
export interface FeeLine {
  readonly fixedSats: number;
  readonly ratePerKvb: number;
}

/**
 * What a transaction has to pay: as much as the highest of these lines says. The first has the highest rate, so that what a
 * coin brings after its own fee is reckoned by it. A plain payment has one line; a replacement has a second, of what it must
 * pay on top of what it replaces (BIP125); a child a fixed part, of what its parents lack.
 */
export type FeeRule = readonly [FeeLine, ...FeeLine[]];

/** A rule of these lines, the first of which is raised to the highest rate of them: paying more satisfies the others too. */
export function feeRule(
  first: { fixedSats: bigint; rateSatsPerKvb: bigint },
  ...others: readonly { fixedSats: bigint; rateSatsPerKvb: bigint }[]
): FeeRule {
  const highest = others.reduce(
    (rate, line) => (line.rateSatsPerKvb > rate ? line.rateSatsPerKvb : rate),
    first.rateSatsPerKvb,
  );
  const [head, ...rest] = [{ ...first, rateSatsPerKvb: highest }, ...others].map(
    ({ fixedSats, rateSatsPerKvb }): FeeLine => {
      invariant(rateSatsPerKvb >= 0n && rateSatsPerKvb <= MAX_FEE_RATE_SATS_PER_KVB, `fee rate ${rateSatsPerKvb}`);
      invariant(fixedSats <= MAX_MONEY_SATS && fixedSats >= -MAX_MONEY_SATS, `fixed fee ${fixedSats}`);
      return { fixedSats: Number(fixedSats), ratePerKvb: Number(rateSatsPerKvb) };
    },
  );
  invariant(head !== undefined, 'a rule has a first line');
  return [head, ...rest];
}

/** The fee that a transaction of this weight must pay at least, in satoshis. */
export function requiredFeeSats(rule: FeeRule, weight: number): number {
  const vbytes = vbytesOf(weight);
  let fee = 0;
  for (const { fixedSats, ratePerKvb } of rule)
    fee = Math.max(fee, fixedSats + Math.ceil((ratePerKvb * vbytes) / 1000));
  return fee;
}

/** The same for one rate, exact for any amount: satoshis for this weight, rounded up. */
export function feeAtRate(rateSatsPerKvb: bigint, weight: number): bigint {
  return (rateSatsPerKvb * BigInt(vbytesOf(weight)) + 999n) / 1000n;
}
