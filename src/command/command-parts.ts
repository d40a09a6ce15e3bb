import { evolveAccount, initialAccountState, type AccountState } from '../domain/account/account-state.js';
import { evolveWallet, initialWalletState, type WalletState } from '../domain/wallet/wallet-state.js';
import type { NetworkName } from '../bitcoin/network.js';
import type { EventStore } from '../eventstore/event-store.js';
import { AddressBook } from './address-book.js';
import { KeyedLock } from './keyed-lock.js';
import { KnownAccounts } from './known-accounts.js';
import type { CommandLog, CommandReads, WalletKeys } from './ports.js';
import { ReadsAtHead } from './reads-at-head.js';
import { CommandRunner } from './run-command.js';
import { StreamDecider } from './stream-decider.js';

/** Injection token of `CommandParts`. */
export const COMMAND_PARTS = Symbol('CommandParts');

/** What command handlers are made of. */
export interface CommandParts {
  ledger: string;
  network: NetworkName;
  runner: CommandRunner;
  accounts: StreamDecider<AccountState>;
  wallets: StreamDecider<WalletState>;
  knownAccounts: KnownAccounts;
  reads: ReadsAtHead;
  keys: WalletKeys;
  addresses: AddressBook;
  /** Commands that look whether a script or descriptor is free, and then take it: one after the other. */
  claims: KeyedLock;
}

export interface CommandPartsOptions {
  ledger: string;
  network: NetworkName;
  store: EventStore;
  reads: CommandReads;
  log: CommandLog;
  keys: WalletKeys;
  sleep: (ms: number) => Promise<void>;
}

export function createCommandParts(options: CommandPartsOptions): CommandParts {
  const { ledger, network, store, sleep, keys } = options;
  return {
    ledger,
    network,
    runner: new CommandRunner({ store, ledger, sleep }),
    accounts: new StreamDecider({
      store,
      sleep,
      evolution: { initialState: initialAccountState, evolve: evolveAccount },
    }),
    wallets: new StreamDecider({
      store,
      sleep,
      evolution: { initialState: initialWalletState, evolve: evolveWallet },
    }),
    knownAccounts: new KnownAccounts(store),
    reads: new ReadsAtHead(options.reads, options.log),
    keys,
    addresses: new AddressBook(network),
    claims: new KeyedLock(),
  };
}
