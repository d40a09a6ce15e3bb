import { evolveAccount, initialAccountState, type AccountState } from '../domain/account/account-state.js';
import { evolvePayout, initialPayoutState, type PayoutState } from '../domain/payout/payout-state.js';
import { MAX_MONEY_SATS } from '../domain/primitives.js';
import { evolveWallet, initialWalletState, type WalletState } from '../domain/wallet/wallet-state.js';
import {
  evolveWithdrawal,
  initialWithdrawalState,
  type WithdrawalState,
} from '../domain/withdrawal/withdrawal-state.js';
import type { NetworkName } from '../bitcoin/network.js';
import type { EventStore } from '../eventstore/event-store.js';
import { AddressBook } from './address-book.js';
import { KeyedLock } from './keyed-lock.js';
import { KnownAccounts } from './known-accounts.js';
import { KnownPayers } from './known-payers.js';
import type { ChainEvidence, CommandLog, CommandReads, PayoutSigning, WalletKeys } from './ports.js';
import { ReadsAtHead } from './reads-at-head.js';
import { CommandRunner } from './run-command.js';
import { StreamDecider } from './stream-decider.js';

/** Injection token of `CommandParts`. */
export const COMMAND_PARTS = Symbol('CommandParts');

/** Open payouts of a busy ledger; a state of one with 200 withdrawals is some 100 kB. */
const MAX_PAYOUT_CELLS = 12_000;

/** What the configuration says of withdrawals. */
export interface WithdrawalRules {
  /** Most that one withdrawal may be. */
  maxSats: bigint;
  /** The wallet that pays where none is named; undefined: the only one with a descriptor. */
  defaultWalletId: string | undefined;
  /** Most that may be asked for by hand. */
  maxFeeRateSatsPerVbyte: number;
}

export const DEFAULT_WITHDRAWAL_RULES: Readonly<WithdrawalRules> = {
  maxSats: MAX_MONEY_SATS,
  defaultWalletId: undefined,
  maxFeeRateSatsPerVbyte: 500,
};

/** What command handlers are made of. */
export interface CommandParts {
  ledger: string;
  network: NetworkName;
  runner: CommandRunner;
  accounts: StreamDecider<AccountState>;
  wallets: StreamDecider<WalletState>;
  withdrawals: StreamDecider<WithdrawalState>;
  payouts: StreamDecider<PayoutState>;
  store: EventStore;
  rules: Readonly<WithdrawalRules>;
  /** Undefined where nothing can be signed by hand. */
  signing: PayoutSigning | undefined;
  /** Undefined where nothing can be looked up in the chain. */
  evidence: ChainEvidence | undefined;
  knownAccounts: KnownAccounts;
  knownPayers: KnownPayers;
  reads: ReadsAtHead;
  keys: WalletKeys;
  addresses: AddressBook;
  /** Commands of this process that look whether something is free, and then take it: one after the other. */
  claims: KeyedLock;
  /** The same among all processes of the ledger, where no stream decides it: scripts and descriptors. */
  sharedClaims: Pick<KeyedLock, 'run'>;
}

export interface CommandPartsOptions {
  ledger: string;
  network: NetworkName;
  store: EventStore;
  reads: CommandReads;
  log: CommandLog;
  keys: WalletKeys;
  sleep: (ms: number) => Promise<void>;
  rules?: WithdrawalRules;
  signing?: PayoutSigning | undefined;
  evidence?: ChainEvidence | undefined;
}

export function createCommandParts(options: CommandPartsOptions): CommandParts {
  const { ledger, network, store, sleep, keys } = options;
  const reads = new ReadsAtHead(options.reads, options.log);
  const claims = new KeyedLock();
  return {
    ledger,
    network,
    store,
    rules: options.rules ?? DEFAULT_WITHDRAWAL_RULES,
    signing: options.signing,
    evidence: options.evidence,
    runner: new CommandRunner({ store, ledger, sleep, head: () => options.log.head() }),
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
    withdrawals: new StreamDecider({
      store,
      sleep,
      evolution: { initialState: initialWithdrawalState, evolve: evolveWithdrawal },
    }),
    payouts: new StreamDecider({
      store,
      sleep,
      evolution: { initialState: initialPayoutState, evolve: evolvePayout },
      maxCells: MAX_PAYOUT_CELLS,
    }),
    knownAccounts: new KnownAccounts(store),
    reads,
    knownPayers: new KnownPayers((limit) => reads.walletsWithDescriptor(limit)),
    keys,
    addresses: new AddressBook(network),
    claims,
    sharedClaims: {
      run: (key, work) => claims.run(key, () => options.log.exclusively(`${ledger} ${key}`, work)),
    },
  };
}
