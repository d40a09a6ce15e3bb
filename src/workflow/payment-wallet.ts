import { deriveAddress } from '../bitcoin/descriptors/derive-script.js';
import type { Descriptor } from '../bitcoin/descriptors/parse-descriptor.js';
import { storedDescriptor } from '../bitcoin/descriptors/stored-descriptor.js';
import type { NetworkName } from '../bitcoin/network.js';
import type { Coin } from '../bitcoin/payment/coin.js';
import type { ChangeScript } from '../bitcoin/payment/plan-parts.js';
import { redeemScriptAt } from '../bitcoin/payment/redeem-script.js';
import { kindOfScript } from '../bitcoin/payment/script-kind.js';
import type { Branch } from '../domain/events/wallet-events.js';
import type { ReserveCoins } from '../domain/wallet/reserve-coins.js';
import type { WalletState } from '../domain/wallet/wallet-state.js';
import type { KnownCoin } from './ports.js';

/** A wallet as payments need it: where its coins' keys and its change are. */
export interface PaymentWallet {
  walletId: string;
  receive: Descriptor;
  /** The receiving one where the wallet has no other. */
  change: Descriptor;
  /** Branch that change is on. */
  changeBranch: Branch;
}

/** What is recorded of a wallet's keys. */
export interface WalletDescriptors {
  walletId: string;
  descriptor: string | null;
  changeDescriptor: string | null;
}

/** Undefined for a wallet of scripts by hand: there is no key to pay with. */
export function paymentWallet(
  created: WalletDescriptors | null | undefined,
  network: NetworkName,
): PaymentWallet | undefined {
  if (created?.descriptor === null || created === null || created === undefined) return undefined;
  const { walletId, descriptor, changeDescriptor } = created;
  return {
    walletId,
    receive: storedDescriptor(descriptor, network),
    change: storedDescriptor(changeDescriptor ?? descriptor, network),
    changeBranch: changeDescriptor === null ? 0 : 1,
  };
}

export interface NextChange {
  plan: ChangeScript;
  reserve: NonNullable<ReserveCoins['change']>;
}

/** Where the next change goes: an address that nobody was given yet. */
export function nextChange(
  wallet: PaymentWallet,
  state: Pick<WalletState, 'nextIndex' | 'nextChangeIndex'>,
  network: NetworkName,
): NextChange {
  const { change, changeBranch: branch } = wallet;
  const index = branch === 1 ? state.nextChangeIndex : state.nextIndex;
  const { script, address } = deriveAddress(change, index, network);
  return { plan: { script, index, kind: change.kind }, reserve: { branch, index, script, address } };
}

/** What the scriptSig of an sh(wpkh) coin pushes. */
export function redeemScriptOf(wallet: PaymentWallet): (coin: Coin) => string {
  return ({ derivation }) =>
    redeemScriptAt(derivation.branch === wallet.changeBranch ? wallet.change : wallet.receive, derivation.index);
}

/** Coins that the wallet's keys can spend; those on scripts that are watched by hand are left out. */
export function toCoins(known: readonly KnownCoin[], tipHeight: number): Coin[] {
  return known.flatMap(({ outpoint, amountSats, script, derivation, blockHash, height }) => {
    if (derivation === null) return [];
    const kind = kindOfScript(Buffer.from(script, 'hex'));
    const [txid = '', vout = ''] = outpoint.split(':');
    const confirmations = height === null ? 0 : tipHeight - height + 1;
    return [{ txid, vout: Number(vout), amountSats, script, kind, derivation, blockHash, confirmations }];
  });
}
