import type { BlockSource } from '../block-source.js';

export interface FetchLimits {
  /** Bytes of blocks in memory: those that are being scanned, and those that are fetched meanwhile. */
  maxBytes: number;
  /** Blocks asked for at once. */
  maxBatch: number;
}

export const DEFAULT_FETCH_LIMITS: Readonly<FetchLimits> = {
  // 16 of the largest blocks.
  maxBytes: 64 * 1024 * 1024,
  // Small blocks: above this a round trip no longer counts.
  maxBatch: 128,
};

export interface FetchedBlock {
  hash: string;
  raw: Uint8Array;
}

/**
 * No block is taken for smaller than this when the next batch is sized: where small blocks suddenly become large ones, the first
 * batch of them must still fit into memory.
 */
const LEAST_EXPECTED_BYTES = 128 * 1024;

/** Fetches blocks in order, one batch ahead of who consumes them. Batches are sized by the largest block of the last one. */
export async function* fetchAhead(
  source: BlockSource,
  hashes: readonly string[],
  limits: FetchLimits = DEFAULT_FETCH_LIMITS,
): AsyncGenerator<FetchedBlock[], void, void> {
  let expectedBytes = LEAST_EXPECTED_BYTES;
  let next = 0;
  const fetchNext = (): Promise<FetchedBlock[]> | undefined => {
    if (next >= hashes.length) return undefined;
    // Two batches are in memory at a time.
    const count = Math.max(1, Math.min(limits.maxBatch, Math.floor(limits.maxBytes / 2 / expectedBytes)));
    const wanted = hashes.slice(next, next + count);
    next += wanted.length;
    const fetched = fetchBlocks(source, wanted);
    // Reported when the consumer comes to it; until then it must not count as unhandled.
    fetched.catch(() => undefined);
    return fetched;
  };
  for (let pending = fetchNext(); pending;) {
    const blocks = await pending;
    const largest = Math.max(...blocks.map(({ raw }) => raw.length));
    expectedBytes = Math.max(LEAST_EXPECTED_BYTES, largest);
    pending = fetchNext();
    yield blocks;
  }
}

async function fetchBlocks(source: BlockSource, hashes: readonly string[]): Promise<FetchedBlock[]> {
  const raws = await source.blocks(hashes);
  return hashes.map((hash, i) => ({ hash, raw: raws[i] ?? new Uint8Array(0) }));
}
