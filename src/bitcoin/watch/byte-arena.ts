import { invariant } from '../../platform/assert.js';

/** Entries lie one after the other in pieces of this size, so that growing copies nothing. */
const CHUNK_BYTES = 1 << 20;
/** References have 32 bits. */
const MAX_CHUNKS = 2 ** 32 / CHUNK_BYTES;
const LENGTH_BYTES = 2;

/** Byte strings of up to 65,535 bytes, kept for good: two bytes each on top of their own, instead of an object. */
export interface ByteArena {
  /** A reference to the stored copy, never 0. */
  add(bytes: Uint8Array): number;
  /** A view of what is stored: not to be changed. */
  get(reference: number): Uint8Array;
}

export function createByteArena(): ByteArena {
  const chunks: Uint8Array[] = [];
  let chunk = new Uint8Array(0);
  let used = 0;
  return {
    add(bytes) {
      const { length } = bytes;
      invariant(length <= 0xffff, `an entry of ${length} bytes is too long`);
      if (used + LENGTH_BYTES + length > chunk.length) {
        invariant(chunks.length < MAX_CHUNKS, 'the arena is full');
        chunk = new Uint8Array(CHUNK_BYTES);
        chunks.push(chunk);
        // Reference 0 is kept free to mean "none".
        used = chunks.length === 1 ? 1 : 0;
      }
      const at = used;
      chunk[at] = length & 0xff;
      chunk[at + 1] = length >>> 8;
      chunk.set(bytes, at + LENGTH_BYTES);
      used += LENGTH_BYTES + length;
      return (chunks.length - 1) * CHUNK_BYTES + at;
    },
    get(reference) {
      const stored = chunks[Math.floor(reference / CHUNK_BYTES)];
      invariant(stored && reference > 0, 'a reference points into the arena');
      const at = reference % CHUNK_BYTES;
      const length = (stored[at] ?? 0) | ((stored[at + 1] ?? 0) << 8);
      return stored.subarray(at + LENGTH_BYTES, at + LENGTH_BYTES + length);
    },
  };
}
