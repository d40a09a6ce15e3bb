import { randomFillSync } from 'node:crypto';

/** Asked of the system at once: enough for 170 traces. */
const POOL_BYTES = 4_096;

/**
 * Gives random bytes in hex, each once. From a pool, because asking the system for 24 bytes took 4 µs, and a slice of the pool 0.2 µs.
 *
 * @param bytes per answer, at most `POOL_BYTES`
 */
export function createRandomHex(bytes: number): () => string {
  const pool = Buffer.alloc(POOL_BYTES);
  let used = POOL_BYTES;
  return () => {
    if (used + bytes > POOL_BYTES) {
      randomFillSync(pool);
      used = 0;
    }
    used += bytes;
    return pool.toString('hex', used - bytes, used);
  };
}
