import type { HashKey } from './half-sip-hash.js';

/**
 * Says "certainly not" for most of what is not in a set, from two words of it and one bit in a megabyte, so that a miss
 * among a million scripts costs about 50 ns instead of 180 (a hash of everything, and a slot that no cache holds). It decides nothing: who makes it say
 * "perhaps" on purpose makes his own output slow, and no other.
 */
export interface QuickFilter {
  mayContain(a: number, b: number): boolean;
  add(a: number, b: number): void;
}

/** One bit in eight is set when the filter is full: as many of the misses pass. */
const BITS_PER_ENTRY = 8;
const MIN_ENTRIES = 1024;

export interface QuickFilterOptions {
  key: HashKey;
  /** How many entries the set has. */
  liveEntries: () => number;
  /** Calls back with every entry that the set has, for a filter that is full: what was deleted is not there any more. */
  forEachEntry: (add: (a: number, b: number) => void) => void;
}

export function createQuickFilter(options: QuickFilterOptions): QuickFilter {
  const { k0, k1 } = options.key;
  let capacity = MIN_ENTRIES;
  let bits = new Int32Array((capacity * BITS_PER_ENTRY) / 32);
  let shift = 32 - Math.log2(capacity * BITS_PER_ENTRY);
  let added = 0;

  // Multiplications and shifts as in the finisher of MurmurHash3, keyed.
  const indexOf = (a: number, b: number): number => {
    let h = Math.imul(a ^ k0, 0x85ebca6b);
    h = Math.imul((h ^ (h >>> 15)) + (b ^ k1), 0xc2b2ae35);
    return Math.imul(h ^ (h >>> 13), 0x9e3779b1) >>> shift;
  };
  const mark = (a: number, b: number): void => {
    const index = indexOf(a, b);
    bits[index >>> 5] = (bits[index >>> 5] ?? 0) | (1 << (index & 31));
    added++;
  };
  const rebuild = (): void => {
    while (capacity < 2 * options.liveEntries()) capacity *= 2;
    bits = new Int32Array((capacity * BITS_PER_ENTRY) / 32);
    shift = 32 - Math.log2(capacity * BITS_PER_ENTRY);
    added = 0;
    options.forEachEntry(mark);
  };

  return {
    mayContain(a, b) {
      const index = indexOf(a, b);
      return (((bits[index >>> 5] ?? 0) >>> (index & 31)) & 1) === 1;
    },
    add(a, b) {
      if (added >= capacity) rebuild();
      mark(a, b);
    },
  };
}
