import { hash } from 'node:crypto';
import { SourceError } from '../block-source.js';
import type { AskNode } from './ask-node.js';
import { RPC_INVALID_ADDRESS_OR_KEY, RPC_MISC_ERROR, RpcError } from './rpc-error.js';
import { BLOCK_BATCH_BYTES, FIRST_BATCH_BLOCKS, MAX_BLOCKS_PER_BATCH } from './rpc-limits.js';

export const HEADER_BYTES = 80;
const HEX = /^([0-9a-f]{2})*$/;

/** Fetches raw blocks in batches whose size follows that of the blocks seen last. */
export function createBlockFetcher(ask: AskNode): (hashes: readonly string[]) => Promise<Uint8Array[]> {
  let batchSize = FIRST_BATCH_BLOCKS;

  async function fetchBatch(hashes: readonly string[]): Promise<Uint8Array[]> {
    try {
      const outcomes = await ask(hashes.map((blockHash) => ({ method: 'getblock', params: [blockHash, 0] })));
      return outcomes.map((outcome, index) => readBlock(outcome, hashes[index] ?? ''));
    } catch (error) {
      const tooLarge = error instanceof SourceError && error.facts['wire'] === 'answer-too-large';
      if (!tooLarge || hashes.length === 1) throw error;
      const half = Math.ceil(hashes.length / 2);
      return [...(await fetchBatch(hashes.slice(0, half))), ...(await fetchBatch(hashes.slice(half)))];
    }
  }

  return async (hashes) => {
    const blocks: Uint8Array[] = [];
    while (blocks.length < hashes.length) {
      const batch = await fetchBatch(hashes.slice(blocks.length, blocks.length + batchSize));
      blocks.push(...batch);
      // Two hex digits for each byte, and room for blocks twice as large as the largest of this batch.
      const expectedBytes = Math.max(...batch.map((block) => block.length)) * 4;
      batchSize = Math.min(Math.max(Math.floor(BLOCK_BATCH_BYTES / expectedBytes), 1), MAX_BLOCKS_PER_BATCH);
    }
    return blocks;
  };
}

function readBlock(outcome: { result: unknown } | RpcError, blockHash: string): Uint8Array {
  if (outcome instanceof RpcError) throw troubleOf(outcome, blockHash);
  const bytes = bytesOfHex(outcome.result);
  if (!bytes || bytes.length <= HEADER_BYTES) {
    throw new SourceError('malformed-answer', 'The node answered a block that is not hex, or too short.', {
      hash: blockHash,
    });
  }
  if (headerHash(bytes) !== blockHash) {
    const message = 'The node answered with another block than the one asked for.';
    throw new SourceError('block-mismatch', message, { hash: blockHash, found: headerHash(bytes) });
  }
  return bytes;
}

function troubleOf(error: RpcError, blockHash: string): Error {
  const facts = { hash: blockHash, code: error.code, nodeMessage: error.nodeMessage };
  if (error.code === RPC_MISC_ERROR && /pruned/i.test(error.nodeMessage)) {
    return new SourceError('pruned', 'The node has dropped a block that this ledger has yet to read.', facts, {
      cause: error,
    });
  }
  // -1 "Block not found on disk" and "not fully downloaded" are of Bitcoin Core, which knows headers before their blocks.
  if (
    error.code === RPC_INVALID_ADDRESS_OR_KEY ||
    (error.code === RPC_MISC_ERROR && /block/i.test(error.nodeMessage))
  ) {
    return new SourceError('block-missing', 'The node does not have this block.', facts, { cause: error });
  }
  return error;
}

/** @returns undefined when it is not lower-case hex of whole bytes */
export function bytesOfHex(value: unknown): Buffer | undefined {
  return typeof value === 'string' && HEX.test(value) ? Buffer.from(value, 'hex') : undefined;
}

/** SHA-256 twice over the header, reversed: the hash as people read it. */
export function headerHash(block: Uint8Array): string {
  const header = block.subarray(0, HEADER_BYTES);
  return hash('sha256', hash('sha256', header, 'buffer'), 'buffer')
    .reverse()
    .toString('hex');
}
