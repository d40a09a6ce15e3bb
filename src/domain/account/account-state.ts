import { Map } from 'immutable';
import type { DomainEvent } from '../events/event-types.js';
import { addRecentId, NO_RECENT_IDS, type RecentIds } from '../recent-ids.js';
import { invariant } from '../../platform/assert.js';

/** What an open withdrawal holds of its account. */
export interface Reservation {
  readonly amountSats: bigint;
  /** The account pays the network's fee up to this much; null: the house pays. */
  readonly maxFeeSats: bigint | null;
}

/** What is decided on the stream `account-<id>`: that it is open, and everything that leaves it. Credits are derived elsewhere. */
export interface AccountState {
  readonly opened: boolean;
  /** Events of the stream so far. */
  readonly events: number;
  /** Transfers sent, and withdrawals settled with their fees. */
  readonly sentSats: bigint;
  /** Sum of all open reservations. */
  readonly reservedSats: bigint;
  /** By withdrawal. Persistent: a hot account has 100,000 of them open, and every state of it shares them. */
  readonly reservations: Map<string, Reservation>;
  readonly recentTransfers: RecentIds;
  readonly recentWithdrawals: RecentIds;
  /** Withdrawals whose reservation was given back lately. */
  readonly recentReleases: RecentIds;
}

export const initialAccountState: AccountState = {
  opened: false,
  events: 0,
  sentSats: 0n,
  reservedSats: 0n,
  reservations: Map(),
  recentTransfers: NO_RECENT_IDS,
  recentWithdrawals: NO_RECENT_IDS,
  recentReleases: NO_RECENT_IDS,
};

export function evolveAccount(state: AccountState, event: DomainEvent): AccountState {
  const events = state.events + 1;
  switch (event.type) {
    case 'AccountOpened':
      return { ...state, events, opened: true };
    case 'TransferSent':
      return {
        ...state,
        events,
        sentSats: state.sentSats + BigInt(event.data.amountSats),
        recentTransfers: addRecentId(state.recentTransfers, event.data.transferId, state.events),
      };
    case 'FundsReserved': {
      const { withdrawalId, amountSats, maxFeeSats } = event.data;
      const reservation = {
        amountSats: BigInt(amountSats),
        maxFeeSats: maxFeeSats === null ? null : BigInt(maxFeeSats),
      };
      return {
        ...state,
        events,
        reservedSats: state.reservedSats + reservedBy(reservation),
        reservations: state.reservations.set(withdrawalId, reservation),
        recentWithdrawals: addRecentId(state.recentWithdrawals, withdrawalId, state.events),
      };
    }
    case 'FundsReleased':
      return {
        ...finished(state, event.data.withdrawalId),
        recentReleases: addRecentId(state.recentReleases, event.data.withdrawalId, state.events),
      };
    case 'WithdrawalSettled': {
      const { withdrawalId, amountSats, feeSats } = event.data;
      return {
        ...finished(state, withdrawalId),
        sentSats: state.sentSats + BigInt(amountSats) + BigInt(feeSats),
      };
    }
    default:
      return { ...state, events };
  }
}

function finished(state: AccountState, withdrawalId: string): AccountState {
  const reservation = state.reservations.get(withdrawalId);
  invariant(reservation !== undefined, `withdrawal ${withdrawalId} holds a reservation until it is finished, once`);
  return {
    ...state,
    events: state.events + 1,
    reservedSats: state.reservedSats - reservedBy(reservation),
    reservations: state.reservations.delete(withdrawalId),
  };
}

/** Amount and the most that the fee may be. */
export function reservedBy({ amountSats, maxFeeSats }: Reservation): bigint {
  return amountSats + (maxFeeSats ?? 0n);
}

/** What may leave the account now, given what came in. Below zero only after a reorg took a credit away. */
export function availableSats(state: AccountState, creditsSats: bigint): bigint {
  return creditsSats - state.sentSats - state.reservedSats;
}

export function accountStream(accountId: string): string {
  return `account-${accountId}`;
}
