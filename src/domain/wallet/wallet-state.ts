import type { DomainEvent } from '../events/event-types.js';
import type { WalletCreated } from '../events/wallet-events.js';
import { addRecentId, NO_RECENT_IDS, type RecentIds } from '../recent-ids.js';

/** What is decided on the stream `wallet-<id>`. */
export interface WalletState {
  readonly created: WalletCreated | null;
  /** Events of the stream so far. */
  readonly events: number;
  /** Index of the next address to hand out. */
  readonly nextIndex: number;
  /** Scripts watched by hand lately. */
  readonly recentScripts: RecentIds;
}

export const initialWalletState: WalletState = {
  created: null,
  events: 0,
  nextIndex: 0,
  recentScripts: NO_RECENT_IDS,
};

export function evolveWallet(state: WalletState, event: DomainEvent): WalletState {
  const events = state.events + 1;
  switch (event.type) {
    case 'WalletCreated':
      return { ...state, events, created: event.data };
    case 'AddressIssued':
      // Only the addresses of branch 0 are handed out; change is chosen when a transaction is built.
      if (event.data.branch !== 0) return { ...state, events };
      return { ...state, events, nextIndex: Math.max(state.nextIndex, event.data.index + 1) };
    case 'ScriptWatched':
      return {
        ...state,
        events,
        recentScripts: addRecentId(state.recentScripts, event.data.script, state.events),
      };
    default:
      return { ...state, events };
  }
}

export function walletStream(walletId: string): string {
  return `wallet-${walletId}`;
}
