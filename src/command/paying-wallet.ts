import { reject, type Rejection } from '../domain/rejection.js';
import { walletStream } from '../domain/wallet/wallet-state.js';
import type { CommandParts } from './command-parts.js';

/** The wallet that is to pay: the one named, the configured one, or the only one that has a descriptor. */
export async function payingWallet(parts: CommandParts, named: string | undefined): Promise<string | Rejection> {
  const chosen = named ?? parts.rules.defaultWalletId ?? (await onlyWallet(parts));
  if (typeof chosen !== 'string') return chosen;
  const stream = walletStream(chosen);
  // A wallet's descriptor never changes: what was seen once holds.
  const known = (await parts.wallets.readKnown(stream)).created ?? (await parts.wallets.read(stream)).created;
  if (known === null) return reject('wallet-not-found', `There is no wallet '${chosen}'.`);
  if (known.descriptor === null) {
    return reject('wallet-has-no-descriptor', `Wallet '${chosen}' watches scripts by hand; it cannot pay.`);
  }
  return chosen;
}

async function onlyWallet({ reads, knownPayers }: CommandParts): Promise<string | Rejection> {
  let wallets = await knownPayers.ids();
  if (wallets.length === 0) {
    // Before it says no, the read model has to know everything.
    await reads.catchUp();
    wallets = await knownPayers.ids();
  }
  const [only, other] = wallets;
  if (only === undefined) return reject('wallet-not-chosen', 'There is no wallet with a descriptor yet.');
  if (other !== undefined) return reject('wallet-not-chosen', 'There are several wallets: name one as walletId.');
  return only;
}
