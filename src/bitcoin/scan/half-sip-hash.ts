import { invariant } from '../../platform/assert.js';
import { byteAt, i32At, u32At } from './bytes.js';

/** A secret of 64 bits. */
export interface HashKey {
  readonly k0: number;
  readonly k1: number;
}

export const HASH_KEY_BYTES = 8;

export function hashKeyOf(bytes: Uint8Array): HashKey {
  invariant(bytes.length === HASH_KEY_BYTES, `a hash key has ${HASH_KEY_BYTES} bytes`);
  return { k0: u32At(bytes, 0) | 0, k1: u32At(bytes, 4) | 0 };
}

/**
 * HalfSipHash-1-3 with 32 bits of output (Aumasson, Bernstein), which Linux uses as `hsiphash` for its hash tables on 32-bit
 * machines: who does not know the key cannot make scripts or outpoints that collide. 32-bit operations only, because
 * 64-bit integers are objects in JavaScript.
 */
export function halfSipHash13(key: HashKey, bytes: Uint8Array, offset: number, length: number): number {
  const { k0, k1 } = key;
  let v0 = k0;
  let v1 = k1;
  let v2 = 0x6c796765 ^ k0;
  let v3 = 0x74656462 ^ k1;
  const wholeWordsEnd = offset + (length & ~3);
  let last = length << 24;
  for (let i = 0; i < (length & 3); i++) last |= byteAt(bytes, wholeWordsEnd + i) << (8 * i);

  // One round for each word and the last one, three to finish.
  for (let at = offset, finish = 0; finish < 4; at += 4) {
    let word = 0;
    if (at < wholeWordsEnd) {
      word = i32At(bytes, at);
    } else {
      finish++;
      if (finish === 1) word = last;
      if (finish === 2) v2 ^= 0xff;
    }
    v3 ^= word;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= word;
  }
  return (v1 ^ v3) >>> 0;
}
