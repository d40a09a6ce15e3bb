import type { DomainEvent } from '../events/event-types.js';
import { MAX_MONEY_SATS } from '../primitives.js';
import { hasRecentId } from '../recent-ids.js';
import { reject, type Rejection } from '../rejection.js';
import { availableSats, type AccountState } from './account-state.js';
import { insufficientFunds } from './insufficient-funds.js';

export interface SendTransfer {
  transferId: string;
  fromAccountId: string;
  toAccountId: string;
  amountSats: bigint;
}

/** What the decision needs from outside the sender's stream. */
export interface TransferFacts {
  recipientExists: boolean;
  /** Matured deposits and received transfers of the sender. May be a moment old: too little is found out before a refusal. */
  creditsSats: bigint;
  /** Whether an earlier event of the stream, before those that the state remembers, has this transfer id. */
  transferExists: boolean;
}

/** Moves money in the books from one account to another. Available = credits − sent − reserved, and never goes below zero. */
export function sendTransfer(
  command: SendTransfer,
  state: AccountState,
  facts: TransferFacts,
): DomainEvent[] | Rejection {
  const { transferId, fromAccountId, toAccountId, amountSats } = command;
  if (amountSats <= 0n || amountSats > MAX_MONEY_SATS) {
    return reject('amount-invalid', 'The amount must be at least 1 satoshi and at most 21 million coins.');
  }
  if (fromAccountId === toAccountId) return reject('transfer-to-self', 'Sender and recipient are the same account.');
  if (!state.opened) return reject('account-not-found', `There is no account '${fromAccountId}'.`);
  if (!facts.recipientExists) return reject('account-not-found', `There is no account '${toAccountId}'.`);
  if (facts.transferExists || hasRecentId(state.recentTransfers, transferId)) {
    return reject('transfer-exists', `Account '${fromAccountId}' has sent a transfer '${transferId}' before.`);
  }
  const available = availableSats(state, facts.creditsSats);
  if (amountSats > available) return insufficientFunds(fromAccountId, available);
  const amount = amountSats.toString();
  return [
    {
      type: 'TransferSent',
      data: {
        transferId,
        fromAccountId,
        toAccountId,
        amountSats: amount,
        postings: [
          { book: `account:${fromAccountId}`, amountSats: amount },
          { book: `account:${toAccountId}`, amountSats: `-${amount}` },
        ],
      },
    },
  ];
}
