import { hash } from 'node:crypto';

/** SHA-256 twice, as a new buffer of 32 bytes. One call costs about 2 µs: many hashes at once are the business of `hash-block.ts`. */
export function sha256d(bytes: Uint8Array): Buffer {
  return hash('sha256', hash('sha256', bytes, 'buffer'), 'buffer');
}
