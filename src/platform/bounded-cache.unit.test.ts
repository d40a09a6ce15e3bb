import { expect, test } from 'vitest';
import { boundedCache } from './bounded-cache.js';

test('keeps what was used last, and no more than its bound', () => {
  const cache = boundedCache<string, number>(3);
  for (const [n, key] of ['a', 'b', 'c'].entries()) cache.set(key, n);
  expect(cache.get('a')).toBe(0);
  cache.set('d', 3);
  expect([...cache.keys()].sort()).toEqual(['a', 'c', 'd']);
  cache.set('a', 4);
  expect(cache.size).toBe(3);
});

test('takes no memory for what is not there', () => {
  const before = process.memoryUsage();
  const caches = Array.from({ length: 100 }, () => boundedCache<string, string>(1_000_000));
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  expect(heapUsed - before.heapUsed + arrayBuffers - before.arrayBuffers).toBeLessThan(32 * 1024 * 1024);
  expect(caches.every(({ size }) => size === 0)).toBe(true);
});
