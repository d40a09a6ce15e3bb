import { invariant } from '../../platform/assert.js';
import type { DomainEvent } from '../events/event-types.js';
import { hasRecentId } from '../recent-ids.js';
import { reservedBy, type AccountState } from './account-state.js';

export interface SettleWithdrawal {
  withdrawalId: string;
  accountId: string;
  payoutId: string;
  /** Of the transaction that paid. */
  txid: string;
  amountSats: bigint;
  /** The account's share of the fee. */
  feeSats: bigint;
}

/**
 * Books a withdrawal that has been paid, once: the account is debited, what was reserved beyond that is given back. No event where
 * the reservation is not open any more: it was settled already.
 */
export function settleWithdrawal(command: SettleWithdrawal, state: AccountState): DomainEvent[] {
  const { withdrawalId, accountId, payoutId, txid, amountSats, feeSats } = command;
  invariant(state.opened, `withdrawal ${withdrawalId} is of an account that exists`);
  invariant(
    !hasRecentId(state.recentReleases, withdrawalId),
    `withdrawal ${withdrawalId} was paid, but its money was given back`,
  );
  const reservation = state.reservations.get(withdrawalId);
  if (reservation === undefined) return [];
  invariant(amountSats === reservation.amountSats, `withdrawal ${withdrawalId} was paid what was asked for`);
  invariant(
    feeSats >= 0n && feeSats <= (reservation.maxFeeSats ?? 0n),
    `withdrawal ${withdrawalId} pays no more for the network's fee than it allowed`,
  );
  const total = reservedBy(reservation);
  const released = total - amountSats - feeSats;
  return [
    {
      type: 'WithdrawalSettled',
      data: {
        withdrawalId,
        accountId,
        payoutId,
        txid,
        amountSats: amountSats.toString(),
        feeSats: feeSats.toString(),
        releasedSats: released.toString(),
        postings: [
          { book: `reserved:${accountId}`, amountSats: total.toString() },
          { book: 'transit', amountSats: `-${amountSats + feeSats}` },
          ...(released > 0n ? [{ book: `account:${accountId}`, amountSats: `-${released}` }] : []),
        ],
      },
    },
  ];
}
