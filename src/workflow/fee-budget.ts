import type { PayoutView } from './payout-view.js';

/** Where the house pays, replacements may cost at least so many times what the first payment did. */
const MIN_TIMES_FIRST_FEE = 10n;

/**
 * What the network may be paid for a payout in all, in satoshis: what the accounts allow and, where the house pays for some, a part of their
 * amounts.
 */
export function feeBudgetSats({ withdrawals, candidates }: PayoutView, percent: number): bigint {
  const allowed = withdrawals.reduce((sum, { maxFeeSats }) => sum + BigInt(maxFeeSats ?? 0), 0n);
  const onTheHouse = withdrawals.filter(({ maxFeeSats }) => maxFeeSats === null);
  if (onTheHouse.length === 0) return allowed;
  const amount = onTheHouse.reduce((sum, { amountSats }) => sum + BigInt(amountSats), 0n);
  // Percent may have decimals; a millionth of the amount is exact enough.
  const part = (amount * BigInt(Math.round(percent * 10_000))) / 1_000_000n;
  const least = MIN_TIMES_FIRST_FEE * BigInt(candidates[0]?.transaction.feeSats ?? 0);
  return allowed + (part > least ? part : least);
}
