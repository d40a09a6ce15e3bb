/** What commands need from the rest of the system. Implementations are put together in the composition. */

/** Whose a watched script is. */
export interface ScriptOwner {
  walletId: string;
  accountId: string | null;
  /** Place in the wallet's descriptor; null where it is watched by hand. */
  derivation: { branch: number; index: number } | null;
}

/** Read models that decisions look into. Each answer may be a moment old: `waitFor` first where that matters. */
export interface CommandReads {
  /** Matured deposits plus received transfers of each account, 0n for accounts that got nothing. */
  credits(accountIds: readonly string[]): Promise<Map<string, bigint>>;
  /** Owners of those scripts that somebody watches. */
  scriptOwners(scripts: readonly string[]): Promise<Map<string, ScriptOwner>>;
  /** A wallet with one of these descriptors, which are given without origin and checksum (`descriptorKey`). */
  walletWithDescriptor(descriptorKeys: readonly string[]): Promise<string | undefined>;
  /** Waits until what the other methods read has reached `position`, at most `timeoutMs`. Answers the position reached. */
  waitFor(position: bigint, timeoutMs: number): Promise<bigint>;
}

/** The log itself: never behind. */
export interface CommandLog {
  /** Position of the ledger's last event. */
  head(): Promise<bigint>;
  /** Those of the ids that are ids of recorded events. */
  existingEvents(ids: readonly string[]): Promise<Set<string>>;
}

/** Keys of wallets with signer `local`; see `bitcoin/keys`. */
export interface WalletKeys {
  ensure(walletId: string): Promise<{ descriptor: string; accountKey: string }>;
}

export interface DevRefusal {
  rejected: string;
  detail: string;
}

/** The built-in regtest chain, for trying things out. */
export interface DevChain {
  mine(request: { blocks: number; address?: string }): Promise<{ hashes: readonly string[] } | DevRefusal>;
  pay(request: { address: string; amountSats: bigint }): Promise<{ txid: string } | DevRefusal>;
  reorg(request: {
    depth: number;
    blocks: number;
    dropTransactions: boolean;
  }): Promise<{ disconnected: readonly string[]; connected: readonly string[] } | DevRefusal>;
}
