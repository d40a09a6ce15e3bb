import { Map, Set } from 'immutable';
import { invariant } from '../../platform/assert.js';
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
  /** Index of the next change address. */
  readonly nextChangeIndex: number;
  /** Scripts watched by hand lately. */
  readonly recentScripts: RecentIds;
  /** Reserved coins, and the payout that has each. Persistent: 10,000 open payouts hold as many coins and more. */
  readonly reserved: Map<string, string>;
  /** The same by payout: the outpoints that it has. */
  readonly reservedOf: Map<string, Set<string>>;
  /** Payouts that pay again with other coins, and the last round for which the earlier ones were given back. */
  readonly roundOf: Map<string, number>;
}

export const initialWalletState: WalletState = {
  created: null,
  events: 0,
  nextIndex: 0,
  nextChangeIndex: 0,
  recentScripts: NO_RECENT_IDS,
  reserved: Map(),
  reservedOf: Map(),
  roundOf: Map(),
};

export function evolveWallet(state: WalletState, event: DomainEvent): WalletState {
  const events = state.events + 1;
  switch (event.type) {
    case 'WalletCreated':
      return { ...state, events, created: event.data };
    case 'AddressIssued':
      return event.data.branch === 0
        ? { ...state, events, nextIndex: Math.max(state.nextIndex, event.data.index + 1) }
        : { ...state, events, nextChangeIndex: Math.max(state.nextChangeIndex, event.data.index + 1) };
    case 'ScriptWatched':
      return {
        ...state,
        events,
        recentScripts: addRecentId(state.recentScripts, event.data.script, state.events),
      };
    case 'CoinsReserved': {
      const { payoutId, coins } = event.data;
      return withReserved(
        { ...state, events },
        payoutId,
        coins.map(({ outpoint }) => outpoint),
      );
    }
    case 'CoinsReleased': {
      const { payoutId, outpoints, round, reason } = event.data;
      const released = withoutReserved({ ...state, events }, payoutId, outpoints);
      if (round !== undefined) return { ...released, roundOf: state.roundOf.set(payoutId, round) };
      // The end of the payout: nobody asks any more.
      return reason === 'unsigned' ? released : { ...released, roundOf: state.roundOf.delete(payoutId) };
    }
    default:
      return { ...state, events };
  }
}

function withReserved(state: WalletState, payoutId: string, outpoints: readonly string[]): WalletState {
  const reserved = state.reserved.withMutations((map) => {
    for (const outpoint of outpoints) {
      invariant(!map.has(outpoint), `coin ${outpoint} is reserved once`);
      map.set(outpoint, payoutId);
    }
  });
  const own = state.reservedOf.get(payoutId) ?? Set<string>();
  return { ...state, reserved, reservedOf: state.reservedOf.set(payoutId, own.union(outpoints)) };
}

function withoutReserved(state: WalletState, payoutId: string, outpoints: readonly string[]): WalletState {
  const reserved = state.reserved.withMutations((map) => {
    for (const outpoint of outpoints) {
      invariant(map.get(outpoint) === payoutId, `coin ${outpoint} is given back by the payout that has it`);
      map.delete(outpoint);
    }
  });
  const left = (state.reservedOf.get(payoutId) ?? Set<string>()).subtract(outpoints);
  return {
    ...state,
    reserved,
    reservedOf: left.isEmpty() ? state.reservedOf.delete(payoutId) : state.reservedOf.set(payoutId, left),
  };
}

/** Outpoints that the payout has reserved, in no order. */
export function coinsReservedFor(state: WalletState, payoutId: string): ReadonlySet<string> {
  return new globalThis.Set(state.reservedOf.get(payoutId) ?? []);
}

export function walletStream(walletId: string): string {
  return `wallet-${walletId}`;
}
