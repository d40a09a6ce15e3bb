import { randomBytes } from 'node:crypto';
import { invariant } from '../../platform/assert.js';
import type { ScriptSet } from '../scan-types.js';
import { byteAt, i32At, u32At } from './bytes.js';
import { HASH_KEY_BYTES, halfSipHash13, hashKeyOf } from './half-sip-hash.js';
import { createQuickFilter } from './quick-filter.js';
import { createSlotTable } from './slot-table.js';

/** A longer script cannot be spent (consensus: `MAX_SCRIPT_SIZE`), so nobody is paid by it. */
export const MAX_SCRIPT_BYTES = 10_000;

/** Scripts lie one after the other in pieces of this size, so that growing copies nothing. */
const CHUNK_BYTES = 1 << 20;

/** Chunks are addressed with 32 bits. */
const MAX_CHUNKS = 2 ** 32 / CHUNK_BYTES;

/** Before each script: length in 2 bytes, owner in 4. */
const ENTRY_HEADER_BYTES = 6;

/** Shorter scripts are not filtered. In all common forms of script, most of the last 8 bytes are of a hash or key. */
const FILTERED_BYTES = 8;

/**
 * An empty set of scripts. Takes 6 bytes and 8 to 32 for its slot on top of each script: about 55 MiB for a million.
 *
 * @param hashKey 8 secret bytes, random unless a test wants to repeat itself
 */
export function createScriptSet(hashKey: Uint8Array = randomBytes(HASH_KEY_BYTES)): ScriptSet {
  const key = hashKeyOf(hashKey);
  const table = createSlotTable();
  const chunks: Uint8Array[] = [];
  let chunk = new Uint8Array(0);
  let used = 0;

  const chunkOf = (reference: number): Uint8Array => {
    const found = chunks[Math.floor(reference / CHUNK_BYTES)];
    invariant(found, 'a reference points into a chunk');
    return found;
  };

  const filter = createQuickFilter({
    key,
    liveEntries: () => table.size,
    forEachEntry: (add) =>
      table.forEachReference((reference) => {
        const entry = chunkOf(reference);
        const at = reference % CHUNK_BYTES;
        const end = at + ENTRY_HEADER_BYTES + lengthOf(entry, at);
        if (lengthOf(entry, at) >= FILTERED_BYTES) add(i32At(entry, end - 4), i32At(entry, end - 8));
      }),
  });

  const startChunk = (): void => {
    invariant(chunks.length < MAX_CHUNKS, 'the script set is full');
    chunk = new Uint8Array(CHUNK_BYTES);
    chunks.push(chunk);
    // Reference 0 is "empty" to the table, so the first entry may not begin at 0.
    used = chunks.length === 1 ? 1 : 0;
  };

  const store = (script: Uint8Array, owner: number): number => {
    if (used + ENTRY_HEADER_BYTES + script.length > chunk.length) startChunk();
    const at = used;
    chunk[at] = script.length & 0xff;
    chunk[at + 1] = script.length >>> 8;
    for (let i = 0; i < 4; i++) chunk[at + 2 + i] = (owner >>> (8 * i)) & 0xff;
    chunk.set(script, at + ENTRY_HEADER_BYTES);
    used = at + ENTRY_HEADER_BYTES + script.length;
    return (chunks.length - 1) * CHUNK_BYTES + at;
  };

  const ownerOf = (bytes: Uint8Array, offset: number, length: number): number => {
    if (length > MAX_SCRIPT_BYTES) return -1;
    const end = offset + length;
    if (length >= FILTERED_BYTES && !filter.mayContain(i32At(bytes, end - 4), i32At(bytes, end - 8))) return -1;
    const hash = halfSipHash13(key, bytes, offset, length);
    for (let slot = table.start(hash); ; slot = table.next(slot)) {
      const reference = table.reference(slot);
      if (reference === 0) return -1;
      if (table.hash(slot) !== hash) continue;
      const candidate = chunkOf(reference);
      const at = reference % CHUNK_BYTES;
      if (sameScript(candidate, at, bytes, offset, length)) return u32At(candidate, at + 2);
    }
  };

  return {
    get size() {
      return table.size;
    },
    ownerOf,
    add(script, owner) {
      invariant(script.length <= MAX_SCRIPT_BYTES, `a script of ${script.length} bytes cannot be spent`);
      invariant(Number.isInteger(owner) && owner >= 0 && owner < 2 ** 32, 'an owner is a number below 2^32');
      if (ownerOf(script, 0, script.length) !== -1) return false;
      table.insert(halfSipHash13(key, script, 0, script.length), store(script, owner));
      const end = script.length;
      if (end >= FILTERED_BYTES) filter.add(i32At(script, end - 4), i32At(script, end - 8));
      return true;
    },
  };
}

const lengthOf = (entry: Uint8Array, at: number): number => byteAt(entry, at) | (byteAt(entry, at + 1) << 8);

function sameScript(entry: Uint8Array, at: number, bytes: Uint8Array, offset: number, length: number): boolean {
  if (lengthOf(entry, at) !== length) return false;
  for (let i = 0; i < length; i++) {
    if (byteAt(entry, at + ENTRY_HEADER_BYTES + i) !== byteAt(bytes, offset + i)) return false;
  }
  return true;
}
