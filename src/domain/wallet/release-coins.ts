import type { DomainEvent } from '../events/event-types.js';
import { MAX_PAYOUT_INPUTS, type CoinsReleased } from '../events/payout-events.js';
import { reject, type Rejection } from '../rejection.js';
import type { WalletState } from './wallet-state.js';

export interface ReleaseCoins {
  walletId: string;
  payoutId: string;
  /** Undefined: all that the payout has. What it does not have (any more) is left out. */
  outpoints: readonly string[] | undefined;
  reason: CoinsReleased['reason'];
  /** For a payout that pays again: the round that begins. Its earlier coins are given back once for each. */
  round?: number;
}

export interface ReleaseFacts {
  /** Whether the payout, as its own stream stands, can do without the coin. */
  mayRelease: (outpoint: string) => boolean;
}

/** Gives coins of a payout back. No event where it has none of them: this was done before. */
export function releaseCoins(
  command: ReleaseCoins,
  state: WalletState,
  facts: ReleaseFacts,
): DomainEvent[] | Rejection {
  const { walletId, payoutId, reason, round } = command;
  if (state.created === null) return reject('wallet-not-found', `There is no wallet '${walletId}'.`);
  // Somebody else has begun the round, and may have reserved coins for it: those are not what was meant.
  if (round !== undefined && (state.roundOf.get(payoutId) ?? 0) >= round) return [];
  const outpoints = [...new Set(command.outpoints ?? state.reservedOf.get(payoutId) ?? [])]
    .filter((outpoint) => state.reserved.get(outpoint) === payoutId)
    .sort();
  const needed = outpoints.find((outpoint) => !facts.mayRelease(outpoint));
  if (needed !== undefined) {
    return reject('payout-not-ready', `Payout '${payoutId}' still needs coin ${needed}; it is not '${reason}'.`);
  }
  const events: DomainEvent[] = [];
  for (let start = 0; start < outpoints.length; start += MAX_PAYOUT_INPUTS) {
    const part = outpoints.slice(start, start + MAX_PAYOUT_INPUTS);
    const data = { walletId, payoutId, outpoints: part, reason };
    events.push({ type: 'CoinsReleased', data: round === undefined ? data : { ...data, round } });
  }
  return events;
}
