import type { Coin } from './coin.js';
import type { ChainRejection } from './rejection.js';

export interface ChainTip {
  hash: string;
  height: number;
}

export interface OpenOptions {
  /** Where the chain lives; made if it is not there. One process at a time. */
  directory: string;
  /** Milliseconds since 1970. */
  now: () => number;
  /** So many random bytes, for the miner's seed. */
  random: (bytes: number) => Uint8Array;
  /**
   * `live`, the default: blocks are dated by the clock. `fixed`: the block at height h is dated start + h × step, so that the same calls
   * make the same chain; start after 1 April 2012, or btcd refuses witnesses (BIP16 by time).
   */
  blockTimes?: { kind: 'live' } | { kind: 'fixed'; startSeconds: number; stepSeconds: number };
  /** The chain is brought to this height when it is opened, so that the miner has coins to pay with. */
  preminedBlocks?: number;
}

export interface MineRequest {
  blocks: number;
  /** Who gets the rewards; the built-in miner where none is given. */
  address?: string;
  /**
   * What to put into the first block instead of the mempool (hex): also a transaction that was replaced or never sent,
   * as any miner may. An empty list makes an empty block.
   */
  transactions?: readonly string[];
}

export interface ReorgRequest {
  /** Blocks to take off the tip. */
  depth: number;
  /** Blocks to put in their place: more than `depth`. */
  blocks: number;
  /** True: the transactions of the lost blocks are forgotten. Else they go back to the mempool and into the new blocks. */
  dropTransactions?: boolean;
  address?: string;
}

export interface SubmittedTransaction {
  txid: string;
  feeSats: bigint;
  vsize: number;
  /** It was in the mempool before. */
  alreadyKnown: boolean;
  /** What it pushed out. */
  replaced: string[];
}

export interface SubmittedBlock {
  hash: string;
  height: number;
  outcome: 'connected' | 'reorganised' | 'side-branch' | 'already-known';
}

export interface MempoolView {
  readonly size: number;
  readonly bytes: number;
  /** Parents before children. */
  list(): { txid: string; feeSats: bigint; vsize: number }[];
  has(txid: string): boolean;
  /** Txid of the mempool transaction that spends this outpoint. */
  spenderOf(txid: string, vout: number): string | undefined;
}

export interface RegtestChain {
  readonly directory: string;
  /** Where the rewards of the built-in miner go. */
  readonly minerAddress: string;
  /** What opening found: blocks read from the file, and bytes of a torn end that were cut off. */
  readonly opened: { blocks: number; cutBytes: number };
  readonly mempool: MempoolView;
  tip(): ChainTip;
  hashAt(height: number): string | undefined;
  /** Any block ever seen, stale ones too. */
  header(hash: string): Uint8Array | undefined;
  block(hash: string): Promise<Uint8Array | undefined>;
  blockInfo(
    hash: string,
  ): { hash: string; prevHash: string; height: number; time: number; onBestChain: boolean } | undefined;
  /** An unspent output of the best chain; the mempool is not looked at. */
  coin(txid: string, vout: number): Coin | undefined;
  coins(): ReadonlyMap<string, Coin>;
  findTransaction(txid: string): Promise<{ raw: Uint8Array; blockHash: string | undefined } | undefined>;
  /** A constant: this chain is never full for long. */
  estimateSatsPerVbyte(): bigint;
  mine(request: MineRequest): Promise<{ hashes: string[] } | ChainRejection>;
  pay(request: { address: string; amountSats: bigint }): Promise<{ txid: string } | ChainRejection>;
  reorg(request: ReorgRequest): Promise<{ disconnected: string[]; connected: string[] } | ChainRejection>;
  submitTransaction(hex: string): Promise<SubmittedTransaction | ChainRejection>;
  /** As `submitTransaction`, but nothing changes. */
  testTransaction(hex: string): SubmittedTransaction | ChainRejection;
  submitBlock(raw: Uint8Array): Promise<SubmittedBlock | ChainRejection>;
  /** Forgets an unconfirmed transaction and what builds on it, as a node with a full mempool would. */
  evict(txid: string): Promise<string[]>;
  /** Calls back after the tip has changed. Returns the way to stop it. */
  onTipChanged(callback: () => void): () => void;
  close(): Promise<void>;
}
