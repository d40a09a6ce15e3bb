import type { DomainEvent } from '../events/event-types.js';
import { reject, type Rejection } from '../rejection.js';
import type { WalletState } from './wallet-state.js';

export interface IssueAddress {
  walletId: string;
  accountId: string | null;
}

export interface DerivedAddress {
  script: string;
  address: string;
}

export interface IssueFacts {
  /** True where no account was named. */
  accountExists: boolean;
  /** Script and address of the wallet's descriptor at an index of branch 0. */
  derive: (index: number) => DerivedAddress;
  /**
   * Whether somebody watches this script other than through this wallet's descriptor: such an index is left out, because its
   * deposits belong to its first watcher. Undefined: not looked up yet.
   */
  isTaken: (script: string) => boolean | undefined;
}

/** The look-up of the facts did not reach as far as the decision had to: look up from `fromIndex` on. */
export interface NeedsLookup {
  needsLookupFrom: number;
}

/** Non-hardened indexes end at 2^31 − 1 (BIP32). */
const MAX_INDEX = 0x7fff_ffff;

/** Hands out the next address of the wallet's descriptor; from now on its deposits are the account's, or the house's. */
export function issueAddress(
  command: IssueAddress,
  state: WalletState,
  facts: IssueFacts,
): DomainEvent[] | Rejection | NeedsLookup {
  if (state.created === null) return reject('wallet-not-found', `There is no wallet '${command.walletId}'.`);
  if (state.created.descriptor === null) {
    return reject(
      'wallet-has-no-descriptor',
      `Wallet '${command.walletId}' watches scripts by hand; it has no addresses to give.`,
    );
  }
  if (!facts.accountExists) return reject('account-not-found', `There is no account '${command.accountId}'.`);
  for (let index = state.nextIndex; index <= MAX_INDEX; index++) {
    const { script, address } = facts.derive(index);
    const taken = facts.isTaken(script);
    if (taken === undefined) return { needsLookupFrom: index };
    if (taken) continue;
    const { walletId, accountId } = command;
    return [{ type: 'AddressIssued', data: { walletId, accountId, branch: 0, index, script, address } }];
  }
  return reject('wallet-has-no-descriptor', `Wallet '${command.walletId}' has handed out all its addresses.`);
}
