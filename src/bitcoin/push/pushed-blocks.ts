import type { BlockInvalid } from '../scan-types.js';

/** What became of a pushed block. */
export type PushOutcome =
  | {
      kind: 'accepted';
      hash: string;
      height: number;
      /**
       * `connected`: it extends the tip. `reorganised`: its branch now has more work, and took the place of another.
       * `side-branch`: kept until its branch has more work. `already-known`: kept or connected before, nothing changed.
       */
      outcome: 'connected' | 'reorganised' | 'side-branch' | 'already-known';
      /** Hashes of blocks taken off by this, newest first. */
      disconnected: string[];
      /** Hashes of blocks connected by this, oldest first. */
      connected: string[];
      /** Position of the last event that this caused; where it caused none, of the last event that the chain's state includes. */
      position: bigint;
    }
  | { kind: 'unknown-parent'; hash: string; prevHash: string }
  | { kind: 'invalid'; reason: BlockInvalid['reason']; detail: string };

/** Takes raw blocks from outside, in any number and from many clients at once. */
export interface PushedBlocks {
  /**
   * Validates, keeps and, where its branch has the most work, connects one raw block.
   *
   * @throws BusyError when too many wait
   * @throws RetryableError when the ledger cannot be written to; the same block may be sent again
   */
  submit(raw: Uint8Array): Promise<PushOutcome>;
}
