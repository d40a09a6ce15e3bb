import type { CandidateSigned } from '../domain/events/payout-events.js';
import type { Candidate, PayoutState } from '../domain/payout/payout-state.js';
import type { RecordedEvent } from '../eventstore/event-store.js';

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
  /** Ids of wallets that have a descriptor, at most `limit`. */
  walletsWithDescriptor(limit: number): Promise<string[]>;
  /** Waits until what the other methods read has reached `position`, at most `timeoutMs`. Answers the position reached. */
  waitFor(position: bigint, timeoutMs: number): Promise<bigint>;
}

/** The log itself: never behind. */
export interface CommandLog {
  /** Position of the ledger's last event. */
  head(): Promise<bigint>;
  /** Those of the ids that are ids of recorded events. */
  existingEvents(ids: readonly string[]): Promise<Set<string>>;
  /** The event of this id. */
  findEvent(id: string): Promise<RecordedEvent | undefined>;
  /**
   * Runs `work` while no other process that writes this log runs any under the same key.
   *
   * @throws RetryableError when it does not come to its turn in time
   */
  exclusively<T>(key: string, work: () => Promise<T>): Promise<T>;
  /** What the events of these ids say, upcast; without those that do not exist. */
  findData(ids: readonly string[]): Promise<Map<string, Pick<RecordedEvent, 'type' | 'data'>>>;
}

/** What came of looking at something signed. */
export type SignedCheck =
  | ({ kind: 'complete' } & Omit<CandidateSigned, 'payoutId' | 'candidate'>)
  /** What differs from what was asked. */
  | { kind: 'mismatch'; differences: readonly { field: string; detail: string }[] }
  /** Inputs without a signature. */
  | { kind: 'incomplete'; inputs: readonly number[] };

/** Signing by hand: a PSBT is fetched, signed wherever the keys are, and brought back. */
export interface PayoutSigning {
  /**
   * The unsigned PSBT (BIP174) of a candidate, binary; the same bytes each time.
   *
   * @throws RetryableError where what it needs cannot be had now, such as previous transactions from the node
   */
  buildPsbt(payout: PayoutState, candidate: Candidate): Promise<Uint8Array>;
  /** Compares what was brought back (binary, or text) with the candidate, and verifies every signature. Trusts nothing of it. */
  checkSigned(payout: PayoutState, candidate: Candidate, signed: Uint8Array | string): Promise<SignedCheck>;
  /**
   * What the node has of a candidate that nobody has brought back signed, as raw hex: sent by who signed it. To be checked like anything signed.
   *
   * @throws RetryableError where the node does not answer
   */
  findSent(candidate: Candidate): Promise<string | undefined>;
}

/** What the chain says of a transaction that is not ours. */
export interface TransactionEvidence {
  /** 0 where no connected block holds it. */
  confirmations: number;
  /** Those of the outpoints asked for that it spends, or that can never be any more because of it. */
  spends: readonly string[];
  /** Its outputs; none where it is a payment of another payout, which pays that one's withdrawals with them. */
  outputs: readonly { script: string; amountSats: bigint }[];
}

export interface ChainEvidence {
  /**
   * Looks a transaction up in the connected blocks that spent one of these outpoints, or what such a coin is made of, and its outputs in
   * the block's own bytes.
   *
   * @returns undefined where no connected block that is known here holds it
   * @throws RetryableError where the source of blocks does not answer
   */
  transaction(txid: string, outpoints: readonly string[]): Promise<TransactionEvidence | undefined>;
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
