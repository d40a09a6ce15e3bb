import { LRUCache } from 'lru-cache';

/**
 * The most recently used entries, at most so many, in memory that grows as it fills. (`max` alone would take it all at the beginning: 28
 * bytes an entry, and a process of many ledgers has dozens of such caches each.)
 */
export function boundedCache<K extends NonNullable<unknown>, V extends NonNullable<unknown>>(
  maxEntries: number,
): LRUCache<K, V> {
  return new LRUCache<K, V>({ maxSize: maxEntries, sizeCalculation: () => 1 });
}
