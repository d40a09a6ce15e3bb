import { FatalError, RetryableError } from '../platform/errors.js';

/**
 * Where blocks come from: the built-in chain, a node over RPC, blocks pushed over HTTP, block files. A source says what
 * its best chain is; what the ledger believes is decided by the follower, from headers and their work alone.
 *
 * Hashes are 64 hex digits in the order people read them (big-endian) everywhere outside the raw bytes.
 */
export interface BlockSource {
  readonly name: 'builtin' | 'rpc' | 'push' | 'files';
  /** Throws SourceError `wrong-network`, `pruned`, `unauthorised` or `unavailable` when the source cannot serve this ledger. */
  check(): Promise<void>;
  /** The source's best block. */
  tip(): Promise<{ hash: string; height: number }>;
  /** Hash of the block at `height` on the source's best chain, undefined above its tip. A hint only: linkage is checked by prevHash. */
  hashAt(height: number): Promise<string | undefined>;
  /** As `hashAt`, for sources that answer many heights in one question. */
  hashesAt?(heights: readonly number[]): Promise<(string | undefined)[]>;
  /** 80-byte headers of these blocks, stale ones too, in the order asked; undefined where the source does not know the block. */
  headers(hashes: readonly string[]): Promise<(Uint8Array | undefined)[]>;
  /** Raw blocks, in the order asked. Throws SourceError `block-missing` or `block-mismatch` (the bytes hash to something else). */
  blocks(hashes: readonly string[]): Promise<Uint8Array[]>;
  /** Calls back when the tip may have changed. A wake-up only, may be dropped or come twice. Returns the way to stop it. */
  onWake(callback: () => void): () => void;
  close(): Promise<void>;
}

export type SourceTrouble =
  /** Nothing answers, or not in time, or "too busy". */
  | 'unavailable'
  /** 401 or 403. */
  | 'unauthorised'
  /** The genesis block or the start block is not on the source's chain. */
  | 'wrong-network'
  /** The source has dropped blocks that this ledger still needs. */
  | 'pruned'
  /** The source does not have a block that it (or a header) named a moment ago. */
  | 'block-missing'
  /** The bytes of a block do not hash to the hash that was asked for. */
  | 'block-mismatch'
  /** An answer that is neither a result nor an error of the protocol. */
  | 'malformed-answer';

/** What is wrong with a source, told apart so that health and metrics can name it. */
export class SourceError extends RetryableError {
  constructor(
    readonly trouble: SourceTrouble,
    message: string,
    facts: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, facts, options);
  }
}

/** Raised by code that must stop the start of the process because of its source's configuration. */
export class SourceConfigurationError extends FatalError {}
