import type { PayoutState } from '../../domain/payout/payout-state.js';
import { coinsReservedFor } from '../../domain/wallet/wallet-state.js';
import { outpointsOf, viewOf } from '../payout-view.js';
import { becauseOfTheChain, forEachBounded, mustTell } from '../tell.js';
import type { WorkflowParts } from '../workflow-parts.js';

/** Accounts told at once: their appends are gathered into few commits. */
const ACCOUNTS_AT_ONCE = 200;

/** What follows from a payment, or from a decision that there will be none, on the account of each withdrawal. */
export async function tellAccounts(parts: WorkflowParts, payoutId: string, state: PayoutState): Promise<void> {
  const { commands } = parts;
  const { settled, resolution } = state;
  if (settled !== null) {
    await forEachBounded(settled.shares, ACCOUNTS_AT_ONCE, async ({ withdrawalId, accountId, amountSats, feeSats }) => {
      const { txid } = settled;
      const paid = { amountSats: BigInt(amountSats), feeSats: BigInt(feeSats) };
      await mustTell(parts, commands.settleWithdrawal({ withdrawalId, accountId, payoutId, txid, ...paid }));
    });
    return;
  }
  if (resolution?.outcome !== 'give-up') return;
  const reason = `Its coins were spent by ${resolution.byTxid}, and it was given up.`;
  await forEachBounded(state.withdrawals, ACCOUNTS_AT_ONCE, async ({ withdrawalId, accountId }) => {
    await mustTell(parts, commands.failWithdrawal({ withdrawalId, accountId, payoutId, reason }));
    await mustTell(parts, commands.releaseFunds({ withdrawalId, accountId, reason: 'failed' }));
  });
}

/** Ends a payout whose payment is buried: its accounts know, its coins go back, and it is never looked at again. */
export async function close(
  parts: WorkflowParts,
  payoutId: string,
  state: PayoutState,
  { txid, childTxids }: { txid: string; childTxids: readonly string[] },
): Promise<void> {
  await tellAccounts(parts, payoutId, state);
  await mustTell(parts, parts.commands.closePayout({ payoutId, txid, childTxids }, becauseOfTheChain(parts)));
  await giveCoinsBack(parts, payoutId, await parts.commands.payoutState(payoutId));
}

/** Finishes what is over: what a crash has left, and what a person decided. */
export async function finish(parts: WorkflowParts, payoutId: string, state: PayoutState): Promise<void> {
  const { commands } = parts;
  await tellAccounts(parts, payoutId, state);
  const { end } = viewOf(state);
  if (end === null) return;
  if (end === 'resolved' && state.resolution !== null) {
    await mustTell(parts, commands.closePayout({ payoutId, txid: state.resolution.byTxid, childTxids: [] }));
  }
  await giveCoinsBack(parts, payoutId, await commands.payoutState(payoutId));
}

/** All that a payout that has ended still holds. */
async function giveCoinsBack(parts: WorkflowParts, payoutId: string, state: PayoutState): Promise<void> {
  const { walletId, end } = viewOf(state);
  const isForeign = state.resolution !== null && state.resolution.outcome !== 'pay-again';
  const reason = end === 'cancelled' ? 'unsigned' : isForeign ? 'conflict' : 'spent';
  await mustTell(parts, parts.commands.releaseCoins({ walletId, payoutId, outpoints: undefined, reason }));
}

/**
 * Change that a payout held for itself, to be able to replace what makes it, is free once a payment is complete: from then on it is as good
 * as any other confirmed coin. What a child spends stays.
 */
export async function freeOwnChange(parts: WorkflowParts, payoutId: string, state: PayoutState): Promise<void> {
  const { commands } = parts;
  const { walletId, candidates } = viewOf(state);
  const spent = new Set(candidates.flatMap(({ transaction }) => outpointsOf(transaction)));
  const held = coinsReservedFor(await commands.walletState(walletId), payoutId);
  const outpoints = candidates
    .flatMap(({ signed }) => signed)
    .flatMap(({ txid, changeVouts }) => changeVouts.map((vout) => `${txid}:${vout}`))
    .filter((outpoint) => held.has(outpoint) && !spent.has(outpoint));
  if (outpoints.length === 0) return;
  await mustTell(parts, commands.releaseCoins({ walletId, payoutId, outpoints, reason: 'unsigned' }));
}
