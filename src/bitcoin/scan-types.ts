/**
 * What one pass over a raw block finds. Shapes are plain data, hashes big-endian hex, amounts satoshis as bigint.
 * The scanner knows scripts and outpoints only; who owns them is the business of its caller (`WatchedScripts` gives
 * the `owner` number back that the script was added with).
 */
export interface BlockHeader {
  /** Hash of the header's 80 bytes. */
  hash: string;
  version: number;
  prevHash: string;
  merkleRoot: string;
  /** Seconds since 1970 as the miner wrote it. */
  time: number;
  /** Compact target. */
  bits: number;
  nonce: number;
}

/** An output that pays a watched script. */
export interface FoundOutput {
  txid: string;
  vout: number;
  amountSats: bigint;
  /** The scriptPubKey in hex. */
  script: string;
  /** The number that the script was added with. */
  owner: number;
  coinbase: boolean;
}

/** An input that spends a watched outpoint. */
export interface FoundSpend {
  /** The spending transaction. */
  txid: string;
  /** Index of the input in it. */
  vin: number;
  prevTxid: string;
  prevVout: number;
}

/** A transaction with at least one found output: the outpoints that it spends, so that conflicts can be seen later. */
export interface FoundTransaction {
  txid: string;
  coinbase: boolean;
  /** `txid:vout` of every input, in order; empty for a coinbase. */
  inputs: string[];
}

export interface ScannedBlock {
  kind: 'scanned';
  header: BlockHeader;
  /** Bytes of the whole block. */
  size: number;
  transactionCount: number;
  /** In block order. */
  outputs: FoundOutput[];
  /** In block order. Includes spends of outputs found earlier in this very block. */
  spends: FoundSpend[];
  /** Transactions of `outputs`, each once, in block order. */
  transactions: FoundTransaction[];
}

/** Why the bytes are not a valid block. A closed union; `detail` is for people. */
export interface BlockInvalid {
  kind: 'invalid';
  reason:
    | 'truncated'
    | 'trailing-bytes'
    | 'too-large'
    | 'no-transactions'
    | 'proof-of-work'
    | 'merkle-root'
    /** Equal neighbours in the Merkle tree: the same root for two different blocks (CVE-2012-2459). */
    | 'duplicate-transactions'
    /** A watched coin is spent twice in this block. */
    | 'double-spend'
    | 'witness-commitment'
    | 'coinbase-missing'
    | 'malformed-transaction';
  detail: string;
}

/** Outpoints to look for. `add` of an outpoint that is there, and `delete` of one that is not, are errors of the caller. */
export interface OutpointSet {
  readonly size: number;
  add(txid: string, vout: number): void;
  delete(txid: string, vout: number): void;
  has(txid: string, vout: number): boolean;
  /** Same as `has` for the 36 bytes as they stand in an input (txid little-endian, index little-endian). */
  hasBytes(block: Uint8Array, offset: number): boolean;
}

/** Scripts to look for: at least a million in at most 100 MiB. */
export interface ScriptSet {
  readonly size: number;
  /**
   * Adds a script, of at most 10,000 bytes (longer ones cannot be spent), with a number that says whose it is (below 2^32).
   * The first one stays: returns false if it was there.
   */
  add(script: Uint8Array, owner: number): boolean;
  /** The owner of the script at these bytes, or -1. */
  ownerOf(bytes: Uint8Array, offset: number, length: number): number;
}
