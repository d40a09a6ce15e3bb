import { expect, test } from 'vitest';
import { createMemorySource } from '../../../test/support/memory-chain.js';
import { createChainIndex } from './chain-index.js';
import { fetchAhead } from './fetch-ahead.js';

const hashOf = (number: number): string => (number * 2_654_435_761).toString(16).padStart(64, '0');
const BITS = 0x207fffff;
const WORK = 2n;

test('pushes, pops, look-ups and work, over growth', () => {
  const start = { height: 500, hash: hashOf(0) };
  const chain = createChainIndex(start);
  expect(chain.tip).toEqual(start);
  for (let i = 1; i <= 3_000; i++) chain.push({ hash: hashOf(i), bits: BITS, revision: 2 * i });
  expect(chain.tip).toEqual({ height: 3_500, hash: hashOf(3_000) });
  expect(chain.workAt(500)).toBe(0n);
  expect(chain.workAt(3_500) - chain.workAt(2_500)).toBe(1_000n * WORK);
  for (let i = 3_000; i > 1_000; i--) {
    expect(chain.pop()).toEqual({ height: 500 + i, hash: hashOf(i), bits: BITS, revision: 2 * i });
  }
  expect(chain.heightOf(hashOf(1_001))).toBeUndefined();
  expect(chain.hashAt(1_501)).toBeUndefined();
  expect(chain.hashAt(499)).toBeUndefined();
  for (let i = 1; i <= 1_000; i++) expect(chain.heightOf(chain.hashAt(500 + i) ?? '')).toBe(500 + i);
  expect(() => chain.push({ hash: hashOf(7), bits: BITS, revision: 1 })).toThrow('connected already');
  for (let i = 0; i < 1_000; i++) chain.pop();
  expect(() => chain.pop()).toThrow('never disconnected');
});

test('work beyond 64 bits', () => {
  const chain = createChainIndex({ height: 0, hash: hashOf(0) });
  // A target of 2^144: 2^112 hashes a block.
  for (let i = 1; i <= 5; i++) chain.push({ hash: hashOf(i), bits: 0x13010000, revision: i });
  expect(chain.workAt(5) / chain.workAt(1)).toBe(5n);
  expect(chain.workAt(5)).toBeGreaterThan(1n << 112n);
});

test('blocks are fetched in order, in batches that shrink where blocks are large, one batch ahead', async () => {
  const source = createMemorySource();
  const made = source.extend(40);
  const large = { maxBytes: 2 * 128 * 1024 * 4, maxBatch: 10 };
  const got: string[] = [];
  const sizes: number[] = [];
  for await (const batch of fetchAhead(
    source,
    made.map(({ hash }) => hash),
    large,
  )) {
    got.push(...batch.map(({ hash }) => hash));
    sizes.push(batch.length);
    expect(source.calls.blocks - got.length).toBeLessThanOrEqual(4);
  }
  expect(got).toEqual(made.map(({ hash }) => hash));
  expect(sizes).toEqual(Array.from({ length: 10 }, () => 4));
});

test('a failure of the batch ahead is reported when its turn comes, not before', async () => {
  const source = createMemorySource();
  const made = source.extend(4);
  let calls = 0;
  source.beforeBlocks = () => {
    if (++calls === 2) throw new Error('lost on the way');
  };
  const hashes = made.map(({ hash }) => hash);
  const fetched = fetchAhead(source, hashes, { maxBytes: 64 * 1024 * 1024, maxBatch: 2 });
  expect((await fetched.next()).value).toHaveLength(2);
  // An unhandled rejection would fail the test here.
  await new Promise((resolve) => setImmediate(resolve));
  await expect(fetched.next()).rejects.toThrow('lost on the way');
});
