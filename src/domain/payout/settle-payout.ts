import type { DomainEvent } from '../events/event-types.js';
import type { Posting } from '../postings.js';
import { reject, type Rejection } from '../rejection.js';
import { feeShares } from './fee-shares.js';
import { findOwn } from './payout-candidates.js';
import type { PayoutState } from './payout-state.js';

export interface SettlePayout {
  payoutId: string;
  /** The payment that is `completeAt` deep. */
  txid: string;
}

/** Books a payment, once. The fee is that of the payment itself, from our own coins. No event where the payout is settled. */
export function settlePayout({ payoutId, txid }: SettlePayout, state: PayoutState): DomainEvent[] | Rejection {
  if (state.started === null) return reject('payout-not-found', `There is no payout '${payoutId}'.`);
  if (state.settled !== null) return [];
  const own = findOwn(state, txid);
  if (own?.candidate.kind !== 'payment' || state.phase === 'halted' || state.phase === 'given-up') {
    return reject('payout-not-ready', `Payout '${payoutId}' is ${state.phase}; ${txid} does not settle it.`);
  }
  return [settledEvent(payoutId, txid, BigInt(own.candidate.transaction.feeSats), state)];
}

/** The settlement of all withdrawals of the payout by this transaction. */
export function settledEvent(payoutId: string, txid: string, feeSats: bigint, state: PayoutState): DomainEvent {
  const parts = state.withdrawals.map(({ withdrawalId, script, maxFeeSats }) => ({
    withdrawalId,
    script,
    maxFeeSats: maxFeeSats === null ? null : BigInt(maxFeeSats),
  }));
  const { accountSats, houseSats } = feeShares(feeSats, parts);
  return {
    type: 'PayoutSettled',
    data: {
      payoutId,
      txid,
      feeSats: feeSats.toString(),
      houseFeeSats: houseSats.toString(),
      shares: state.withdrawals.map(({ withdrawalId, accountId, amountSats }, at) => ({
        withdrawalId,
        accountId,
        amountSats,
        feeSats: (accountSats[at] ?? 0n).toString(),
      })),
      postings: housePays(houseSats),
    },
  };
}

/** Debit fees, credit transit; the other way round for less than nothing. */
export function housePays(amountSats: bigint): { book: Posting['book']; amountSats: string }[] {
  if (amountSats === 0n) return [];
  return [
    { book: 'fees', amountSats: amountSats.toString() },
    { book: 'transit', amountSats: (-amountSats).toString() },
  ];
}
