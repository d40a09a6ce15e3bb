import { invariant } from '../../platform/assert.js';
import type { DomainEvent } from '../events/event-types.js';
import type { Branch } from '../events/wallet-events.js';
import { reject, type Rejection } from '../rejection.js';
import type { WalletState } from './wallet-state.js';

export interface ReserveCoins {
  walletId: string;
  payoutId: string;
  coins: readonly { outpoint: string; amountSats: bigint }[];
  /**
   * Address for the change, where it needs a new one. Branch 1; branch 0 only for a wallet without a change descriptor. It is
   * issued in the same append, so that the follower watches it before anything can be paid to it.
   */
  change: { branch: Branch; index: number; script: string; address: string } | null;
}

/**
 * Reserves coins for a payout, all or none, and issues its change address. What it has already is left out; no event where that is all:
 * this was done before. Coins stay reserved until their spend, or a conflicting one, is buried: never given back by a clock.
 */
export function reserveCoins(command: ReserveCoins, state: WalletState): DomainEvent[] | Rejection {
  const { walletId, payoutId, coins, change } = command;
  if (state.created === null) return reject('wallet-not-found', `There is no wallet '${walletId}'.`);
  invariant(
    new Set(coins.map(({ outpoint }) => outpoint)).size === coins.length,
    `payout ${payoutId} asks for each coin once`,
  );
  const other = coins.find(({ outpoint }) => (state.reserved.get(outpoint) ?? payoutId) !== payoutId);
  if (other !== undefined) {
    const owner = state.reserved.get(other.outpoint);
    return reject('coins-reserved', `Coin ${other.outpoint} is reserved for payout '${owner}'.`);
  }
  const wanted = coins
    .filter(({ outpoint }) => !state.reserved.has(outpoint))
    .map(({ outpoint, amountSats }) => ({ outpoint, amountSats: amountSats.toString() }));
  const isIssued = change !== null && change.index < (change.branch === 1 ? state.nextChangeIndex : state.nextIndex);
  if (isIssued && wanted.length > 0) {
    return reject(
      'change-address-taken',
      `Index ${change.index} of branch ${change.branch} of wallet '${walletId}' was given out.`,
    );
  }
  const events: DomainEvent[] = [];
  if (wanted.length > 0) events.push({ type: 'CoinsReserved', data: { walletId, payoutId, coins: wanted } });
  if (change !== null && !isIssued) {
    const { branch, index, script, address } = change;
    events.push({ type: 'AddressIssued', data: { walletId, accountId: null, branch, index, script, address } });
  }
  return events;
}
