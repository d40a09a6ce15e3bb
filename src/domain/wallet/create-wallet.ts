import type { DomainEvent } from '../events/event-types.js';
import type { WalletCreated } from '../events/wallet-events.js';
import { reject, type Rejection } from '../rejection.js';
import type { WalletState } from './wallet-state.js';

export interface WalletFacts {
  /** Another wallet that derives the same scripts. */
  descriptorUsedBy: string | undefined;
}

/** Descriptors come here checked, public and with one `*` each. */
export function createWallet(
  command: WalletCreated,
  state: WalletState,
  facts: WalletFacts,
): DomainEvent[] | Rejection {
  if (state.created !== null) return reject('wallet-exists', `Wallet '${command.walletId}' exists.`);
  if (command.signer === 'local' && command.network !== 'regtest' && command.network !== 'signet') {
    return reject('signer-not-allowed', `Signer 'local' is for regtest and signet, not for ${command.network}.`);
  }
  if (facts.descriptorUsedBy !== undefined) {
    // Two wallets with the same scripts would each claim every coin.
    return reject('descriptor-in-use', `Wallet '${facts.descriptorUsedBy}' has this descriptor.`);
  }
  return [{ type: 'WalletCreated', data: command }];
}
