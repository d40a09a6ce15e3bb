import { randomBytes } from 'node:crypto';
import { invariant } from '../../platform/assert.js';
import type { OutpointSet } from '../scan-types.js';
import { i32At } from './bytes.js';
import { HASH_KEY_BYTES, halfSipHash13, hashKeyOf } from './half-sip-hash.js';
import { createQuickFilter } from './quick-filter.js';
import { createSlotTable } from './slot-table.js';

/** As in a transaction's input: txid as it is hashed (little-endian), index in 4 bytes. */
export const OUTPOINT_BYTES = 36;

const WORDS = OUTPOINT_BYTES / 4;

/** Outpoints lie in pieces of this many, so that growing copies nothing. */
const CHUNK_OUTPOINTS = 1 << 14;

/**
 * An empty set of outpoints: 36 bytes and 16 to 32 for its slot for each.
 *
 * @param hashKey 8 secret bytes, random unless a test wants to repeat itself
 */
export function createOutpointSet(hashKey: Uint8Array = randomBytes(HASH_KEY_BYTES)): OutpointSet {
  const key = hashKeyOf(hashKey);
  const table = createSlotTable();
  const chunks: Int32Array[] = [];
  /** References that were deleted, to be used again. References count from 1. */
  const free: number[] = [];
  let highest = 0;
  const scratch = new Uint8Array(OUTPOINT_BYTES);

  const chunkOf = (reference: number): Int32Array => {
    const chunk = chunks[Math.floor(reference / CHUNK_OUTPOINTS)];
    invariant(chunk, 'a reference points into a chunk');
    return chunk;
  };

  const same = (reference: number, bytes: Uint8Array, offset: number): boolean => {
    const chunk = chunkOf(reference);
    const at = (reference % CHUNK_OUTPOINTS) * WORDS;
    for (let i = 0; i < WORDS; i++) if (chunk[at + i] !== i32At(bytes, offset + 4 * i)) return false;
    return true;
  };

  const filter = createQuickFilter({
    key,
    liveEntries: () => table.size,
    forEachEntry: (add) =>
      table.forEachReference((reference) => {
        const chunk = chunkOf(reference);
        const at = (reference % CHUNK_OUTPOINTS) * WORDS;
        add(chunk[at] ?? 0, chunk[at + WORDS - 1] ?? 0);
      }),
  });

  /** The slot of these 36 bytes, or -1. */
  const find = (hash: number, bytes: Uint8Array, offset: number): number => {
    for (let slot = table.start(hash); ; slot = table.next(slot)) {
      const reference = table.reference(slot);
      if (reference === 0) return -1;
      if (table.hash(slot) === hash && same(reference, bytes, offset)) return slot;
    }
  };

  const hashOf = (bytes: Uint8Array, offset: number): number => halfSipHash13(key, bytes, offset, OUTPOINT_BYTES);

  /** Writes the outpoint into `scratch` as it stands in an input, and returns its hash. */
  const encode = (txid: string, vout: number): number => {
    const bytes = Buffer.from(txid, 'hex');
    invariant(txid.length === 64 && bytes.length === 32, `not a txid: ${txid}`);
    invariant(Number.isInteger(vout) && vout >= 0 && vout < 2 ** 32, `not an output index: ${vout}`);
    scratch.set(bytes.reverse());
    new DataView(scratch.buffer).setUint32(32, vout, true);
    return hashOf(scratch, 0);
  };

  return {
    get size() {
      return table.size;
    },
    add(txid, vout) {
      const hash = encode(txid, vout);
      invariant(find(hash, scratch, 0) === -1, `outpoint ${txid}:${vout} is watched already`);
      const reference = free.pop() ?? ++highest;
      if (reference >= chunks.length * CHUNK_OUTPOINTS) chunks.push(new Int32Array(CHUNK_OUTPOINTS * WORDS));
      const chunk = chunkOf(reference);
      for (let i = 0; i < WORDS; i++) chunk[(reference % CHUNK_OUTPOINTS) * WORDS + i] = i32At(scratch, 4 * i);
      table.insert(hash, reference);
      filter.add(i32At(scratch, 0), vout | 0);
    },
    delete(txid, vout) {
      const slot = find(encode(txid, vout), scratch, 0);
      invariant(slot !== -1, `outpoint ${txid}:${vout} is not watched`);
      free.push(table.reference(slot));
      table.remove(slot);
    },
    has: (txid, vout) => find(encode(txid, vout), scratch, 0) !== -1,
    hasBytes: (block, offset) =>
      filter.mayContain(i32At(block, offset), i32At(block, offset + 32)) &&
      find(hashOf(block, offset), block, offset) !== -1,
  };
}
