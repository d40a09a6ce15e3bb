import type { ReleaseFunds } from '../domain/account/release-funds.js';
import type { SettleWithdrawal } from '../domain/account/settle-withdrawal.js';
import type { CandidatePrepared, CandidateSigned, PayoutStarted } from '../domain/events/payout-events.js';
import type { FundsReserved } from '../domain/events/withdrawal-events.js';
import { withdrawalEventId } from '../domain/new-event.js';
import { payoutStream, type PayoutState } from '../domain/payout/payout-state.js';
import type { PrepareFacts } from '../domain/payout/prepare-candidate.js';
import { reject, type Rejection } from '../domain/rejection.js';
import { walletStream } from '../domain/wallet/wallet-state.js';
import { withdrawalStream, type WithdrawalState } from '../domain/withdrawal/withdrawal-state.js';
import { invariant } from '../platform/assert.js';
import type { CommandParts } from './command-parts.js';

/** What decisions on one stream need to know of others. Each answer cannot grow old, or is looked up anew for every attempt. */

/**
 * Who asks for a payout has its withdrawals from a read model. What is paid, to whom, is held against the log itself, because only
 * the log is the book.
 *
 * @throws InvariantError where the read model says something else than the log
 */
export async function unlikeTheLog(
  { reads, ledger }: CommandParts,
  { walletId, withdrawals }: PayoutStarted,
): Promise<Rejection | undefined> {
  const idOf = (withdrawalId: string): string => withdrawalEventId(ledger, withdrawalId);
  const requested = await reads.findData(withdrawals.map(({ withdrawalId }) => idOf(withdrawalId)));
  for (const { withdrawalId, accountId, address, script, amountSats, maxFeeSats } of withdrawals) {
    const found = requested.get(idOf(withdrawalId));
    if (found === undefined) return reject('withdrawal-not-found', `There is no withdrawal '${withdrawalId}'.`);
    // Checked when it was written.
    const asked = found.data as FundsReserved;
    invariant(
      asked.walletId === walletId &&
        asked.accountId === accountId &&
        asked.address === address &&
        asked.script === script &&
        asked.amountSats === amountSats &&
        asked.maxFeeSats === maxFeeSats,
      `withdrawal ${withdrawalId} is to be paid as it was asked for`,
    );
  }
  return undefined;
}

/** The payout that had the withdrawal and took it out. It never takes it in again, so the answer cannot grow old. */
export async function payoutThatLetGo(
  { payouts }: CommandParts,
  withdrawalId: string,
  { payoutId }: WithdrawalState,
): Promise<string | null> {
  if (payoutId === null) return null;
  const { removed } = await payouts.read(payoutStream(payoutId));
  return removed.includes(withdrawalId) ? payoutId : null;
}

/** Whether the withdrawal is what its money is to be given back for. That is its last event, so the answer cannot grow old. */
export async function hasEnded(
  { withdrawals }: CommandParts,
  { withdrawalId, reason }: ReleaseFunds,
): Promise<boolean> {
  const stream = withdrawalStream(withdrawalId);
  const known = await withdrawals.readKnown(stream);
  return known.phase === reason || (await withdrawals.read(stream)).phase === reason;
}

/** Whether the payout says of the withdrawal what its account is to be told. It is settled once, so the answer cannot grow old. */
export async function isSettled({ payouts }: CommandParts, command: SettleWithdrawal): Promise<boolean> {
  const stream = payoutStream(command.payoutId);
  const { settled } = await payouts.readKnown(stream).then((known) => (known.settled ? known : payouts.read(stream)));
  if (settled === null || settled.txid !== command.txid) return false;
  return settled.shares.some(
    ({ withdrawalId, accountId, amountSats, feeSats }) =>
      withdrawalId === command.withdrawalId &&
      accountId === command.accountId &&
      BigInt(amountSats) === command.amountSats &&
      BigInt(feeSats) === command.feeSats,
  );
}

export async function prepareFacts(
  { wallets, withdrawals }: CommandParts,
  { payoutId, candidate }: CandidatePrepared,
  state: PayoutState,
): Promise<PrepareFacts> {
  // What is decided without facts needs none looked up.
  if (state.started === null || candidate < state.candidates.length) return NO_FACTS;
  const { reserved } = await wallets.read(walletStream(state.started.walletId));
  const assigned = new Set<string>();
  await Promise.all(
    state.withdrawals.map(async ({ withdrawalId }) => {
      const stream = withdrawalStream(withdrawalId);
      const has = (of: WithdrawalState): boolean => of.phase === 'assigned' && of.payoutId === payoutId;
      // Once it has it, it has for ever: what was seen before is as good as what is there now.
      if (has(await withdrawals.readKnown(stream)) || has(await withdrawals.read(stream))) assigned.add(withdrawalId);
    }),
  );
  return {
    isReserved: (outpoint) => reserved.get(outpoint) === payoutId,
    isAssigned: (withdrawalId) => assigned.has(withdrawalId),
  };
}

const NO_FACTS: PrepareFacts = { isReserved: () => false, isAssigned: () => false };

export async function signedTransaction(
  { payouts, store }: CommandParts,
  payoutId: string,
  txid: string,
): Promise<string> {
  const stream = payoutStream(payoutId);
  const { candidates } = await payouts.read(stream);
  const signed = candidates.flatMap((candidate) => candidate.signed).find((form) => form.txid === txid);
  invariant(signed !== undefined, `payout ${payoutId} has a signed transaction ${txid}`);
  const [event] = await store.readStream(stream, signed.revision, 1);
  invariant(event?.type === 'CandidateSigned', `revision ${signed.revision} of ${stream} is what was signed`);
  // Checked when it was written.
  return (event.data as CandidateSigned).transaction;
}
