import type { DomainEvent } from '../events/event-types.js';
import { addRecentId, NO_RECENT_IDS, type RecentIds } from '../recent-ids.js';

/** What is decided on the stream `account-<id>`: that it is open, and everything that leaves it. Credits are derived elsewhere. */
export interface AccountState {
  readonly opened: boolean;
  /** Events of the stream so far. */
  readonly events: number;
  readonly sentSats: bigint;
  readonly recentTransfers: RecentIds;
}

export const initialAccountState: AccountState = {
  opened: false,
  events: 0,
  sentSats: 0n,
  recentTransfers: NO_RECENT_IDS,
};

export function evolveAccount(state: AccountState, event: DomainEvent): AccountState {
  const events = state.events + 1;
  switch (event.type) {
    case 'AccountOpened':
      return { ...state, events, opened: true };
    case 'TransferSent':
      return {
        opened: state.opened,
        events,
        sentSats: state.sentSats + BigInt(event.data.amountSats),
        recentTransfers: addRecentId(state.recentTransfers, event.data.transferId, state.events),
      };
    default:
      return { ...state, events };
  }
}

export function accountStream(accountId: string): string {
  return `account-${accountId}`;
}
