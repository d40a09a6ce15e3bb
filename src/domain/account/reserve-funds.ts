import type { DomainEvent } from '../events/event-types.js';
import { MAX_MONEY_SATS } from '../primitives.js';
import { hasRecentId } from '../recent-ids.js';
import { reject, type Rejection } from '../rejection.js';
import { availableSats, reservedBy, type AccountState } from './account-state.js';
import { insufficientFunds } from './insufficient-funds.js';

export interface ReserveFunds {
  withdrawalId: string;
  accountId: string;
  walletId: string;
  address: string;
  /** Of the address, in hex. */
  script: string;
  amountSats: bigint;
  /** Null: the house pays the network's fee. */
  maxFeeSats: bigint | null;
  confirmationTarget: number;
}

/** What the decision needs from outside the account's stream. */
export interface ReserveFacts {
  /** Matured deposits and received transfers. May be a moment old: too little is found out before a refusal. */
  creditsSats: bigint;
  /** Whether some earlier event of the ledger, before those that the state remembers, has this withdrawal id. */
  withdrawalExists: boolean;
  /** Below this an output of the script is not relayed. */
  dustSats: bigint;
  /** Most that one withdrawal may be. */
  maxSats: bigint;
}

/**
 * Takes on a withdrawal: what it will cost at most is set aside. This is the commitment; from here on it is paid, cancelled or
 * given up by a person. Available = credits − sent − reserved, and never goes below zero.
 */
export function reserveFunds(
  command: ReserveFunds,
  state: AccountState,
  facts: ReserveFacts,
): DomainEvent[] | Rejection {
  const { withdrawalId, accountId, amountSats, maxFeeSats } = command;
  const refused = refuseAmount(amountSats, maxFeeSats, facts);
  if (refused !== undefined) return refused;
  if (!state.opened) return reject('account-not-found', `There is no account '${accountId}'.`);
  if (
    facts.withdrawalExists ||
    state.reservations.has(withdrawalId) ||
    hasRecentId(state.recentWithdrawals, withdrawalId)
  ) {
    return reject('withdrawal-exists', `There is a withdrawal '${withdrawalId}'.`);
  }
  const total = reservedBy({ amountSats, maxFeeSats });
  const available = availableSats(state, facts.creditsSats);
  if (total > available) return insufficientFunds(accountId, available);
  return [
    {
      type: 'FundsReserved',
      data: {
        ...command,
        amountSats: amountSats.toString(),
        maxFeeSats: maxFeeSats?.toString() ?? null,
        postings: [
          { book: `account:${accountId}`, amountSats: total.toString() },
          { book: `reserved:${accountId}`, amountSats: `-${total}` },
        ],
      },
    },
  ];
}

function refuseAmount(amountSats: bigint, maxFeeSats: bigint | null, facts: ReserveFacts): Rejection | undefined {
  if (amountSats <= 0n || amountSats > MAX_MONEY_SATS) {
    return reject('amount-invalid', 'The amount must be at least 1 satoshi and at most 21 million coins.');
  }
  if (maxFeeSats !== null && (maxFeeSats < 0n || maxFeeSats > MAX_MONEY_SATS)) {
    return reject('amount-invalid', 'The field maxFeeSats must be at least 0 and at most 21 million coins.');
  }
  if (amountSats < facts.dustSats) {
    return reject(
      'amount-dust',
      `At this address less than ${facts.dustSats} satoshis are dust: nodes do not relay it.`,
    );
  }
  if (amountSats > facts.maxSats) {
    return reject('amount-too-large', `A withdrawal is at most ${facts.maxSats} satoshis here.`);
  }
  return undefined;
}
