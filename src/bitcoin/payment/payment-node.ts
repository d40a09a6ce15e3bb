import type { NodeAnswerKind } from '../../domain/events/payout-events.js';

/**
 * What payments need of a Bitcoin node: what fees are due, whether a transaction would be taken, sending it, and looking
 * afterwards at what became of it. Transactions are raw, in hex; txids and hashes in the order people read them.
 *
 * Only `RetryableError`s are thrown (the node does not answer); `testAccept` and `broadcast` never throw one: not to know is
 * one of their answers.
 */
export interface PaymentNode {
  readonly name: 'rpc' | 'builtin' | 'none';
  /** Whether anything can be sent at all. False for `none`: somebody else carries the transactions to the network. */
  readonly canSend: boolean;
  /** What the node reckons is needed to be in a block within `target` blocks; undefined where it has no estimate. */
  feeRate(target: number): Promise<FeeEstimate | undefined>;
  relayFees(): Promise<RelayFees>;
  /** Asks whether the transaction would be taken into the mempool now; sends nothing. Never `accepted` on a guess. */
  testAccept(transaction: string, coins?: readonly CoinPlace[]): Promise<NodeAnswer>;
  /**
   * Sends it. Safe to repeat with the same bytes, for ever. After anything but a plain success the node is asked what it has
   * and what it sees: no error code is taken for a fact.
   *
   * @param coins where the coins that it spends are; with it, a spent coin can be told from one the node has not seen yet
   */
  broadcast(transaction: string, coins?: readonly CoinPlace[]): Promise<NodeAnswer>;
  /** A transaction that the node has in its mempool or can find in its best chain; undefined where it does not know it. */
  find(txid: string): Promise<FoundTransaction | undefined>;
  /** What the node sees of a coin now. */
  coinState(outpoint: string): Promise<CoinState>;
  /**
   * Raw bytes of the transactions that made our coins, from the blocks that hold them, so that a node needs no index of
   * transactions. What cannot be found is missing from the answer.
   */
  previousTransactions(wanted: readonly WantedTransaction[]): Promise<ReadonlyMap<string, Uint8Array>>;
  /** Breaks off what is under way. Where blocks come from is not its own to close. */
  close(): Promise<void>;
}

export interface FeeEstimate {
  /** Satoshis per 1000 vbytes, rounded up. Never 0. */
  satsPerKvb: bigint;
  /** For this many blocks: may be another number than was asked for. */
  blocks: number;
}

/** Satoshis per 1000 vbytes. */
export interface RelayFees {
  /** The least that the node takes now: the greater of its own minimum and what a full mempool asks. */
  minimumSatsPerKvb: bigint;
  /** What a replacement pays for its own size on top of all that it replaces (BIP125, rule 4). */
  incrementalSatsPerKvb: bigint;
}

/** `DEFAULT_MIN_RELAY_TX_FEE` and `DEFAULT_INCREMENTAL_RELAY_FEE` of Bitcoin Core up to version 29; later ones ask for less. */
export const DEFAULT_RELAY_FEES: RelayFees = { minimumSatsPerKvb: 1_000n, incrementalSatsPerKvb: 1_000n };

export interface NodeAnswer {
  kind: NodeAnswerKind;
  /** One sentence for people, with the node's own words where there are some; at most 500 characters. */
  detail: string;
  /** The transaction that spends an input of this one, where the node names it. */
  byTxid?: string;
}

export interface FoundTransaction {
  transaction: string;
  /** The block of the best chain that holds it; null while it is in the mempool. */
  blockHash: string | null;
}

export type CoinState =
  | { state: 'unspent' }
  | { state: 'spent-in-mempool'; byTxid: string }
  /** Not among the unspent: spent in a block, or the node does not know the transaction that makes it. */
  | { state: 'missing' };

export interface CoinPlace {
  /** `txid:vout`. */
  outpoint: string;
  /** The block that holds the transaction; null for our own unconfirmed change. */
  blockHash: string | null;
}

export interface WantedTransaction {
  txid: string;
  /** Null: unconfirmed, to be looked for in the mempool. */
  blockHash: string | null;
}
