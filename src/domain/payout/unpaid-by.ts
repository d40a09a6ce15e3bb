import type { PaidWithdrawal } from '../events/payout-events.js';

/** Ids of the withdrawals for which a transaction has no output of their own, with their script and their exact amount. */
export function unpaidBy(
  outputs: readonly { script: string; amountSats: bigint }[],
  withdrawals: readonly Pick<PaidWithdrawal, 'withdrawalId' | 'script' | 'amountSats'>[],
): string[] {
  const left = new Map<string, number>();
  for (const { script, amountSats } of outputs) {
    const key = `${script}:${amountSats}`;
    left.set(key, (left.get(key) ?? 0) + 1);
  }
  return withdrawals.flatMap(({ withdrawalId, script, amountSats }) => {
    const key = `${script}:${amountSats}`;
    const there = left.get(key) ?? 0;
    // One output pays one withdrawal, also where two ask for the same.
    left.set(key, there - 1);
    return there > 0 ? [] : [withdrawalId];
  });
}
