import { doubleSha256, toDisplayHex } from './hashing.js';
import { HEADER_BYTES } from './block.js';
import { SourceError, type BlockSource } from '../block-source.js';
import type { RegtestChain } from './regtest-chain.js';

/** The built-in chain as a source of blocks. Closing the source leaves the chain open: whoever opened it closes it. */
export function createRegtestSource(chain: RegtestChain): BlockSource {
  const stops = new Set<() => void>();
  return {
    name: 'builtin',
    // It is regtest by construction, and never pruned.
    check: () => Promise.resolve(),
    tip: () => Promise.resolve(chain.tip()),
    hashAt: (height) => Promise.resolve(chain.hashAt(height)),
    headers: (hashes) => Promise.resolve(hashes.map((hash) => chain.header(hash))),
    blocks: (hashes) => Promise.all(hashes.map((hash) => readBlock(chain, hash))),
    onWake(callback) {
      const stop = chain.onTipChanged(callback);
      stops.add(stop);
      return () => {
        stops.delete(stop);
        stop();
      };
    },
    close() {
      for (const stop of stops) stop();
      stops.clear();
      return Promise.resolve();
    },
  };
}

async function readBlock(chain: RegtestChain, hash: string): Promise<Uint8Array> {
  const block = await chain.block(hash);
  if (!block) throw new SourceError('block-missing', 'The built-in chain does not have this block.', { hash });
  if (toDisplayHex(doubleSha256(block.subarray(0, HEADER_BYTES))) !== hash) {
    throw new SourceError('block-mismatch', 'The block file of the built-in chain has been changed.', { hash });
  }
  return block;
}
