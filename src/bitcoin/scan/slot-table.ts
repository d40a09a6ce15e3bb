import { invariant } from '../../platform/assert.js';

/**
 * An open hash table from 32-bit hashes to references (1 to 2^32 - 1) of entries that its user keeps, in one typed
 * array of pairs (hash, reference), so that a miss costs one cache line. Linear probing, at most half full.
 */
export interface SlotTable {
  readonly size: number;
  /** The slot where a search for this hash begins; go on with `next` until `reference` is 0. */
  start(hash: number): number;
  next(slot: number): number;
  hash(slot: number): number;
  /** 0 for an empty slot. */
  reference(slot: number): number;
  insert(hash: number, reference: number): void;
  remove(slot: number): void;
  forEachReference(callback: (reference: number) => void): void;
}

const INITIAL_SLOTS = 1024;

/** 2^28 slots are 2 GiB, the most that one typed array should hold; half of them can be used. */
const MAX_SLOTS = 2 ** 28;

export function createSlotTable(): SlotTable {
  let slots = new Uint32Array(2 * INITIAL_SLOTS);
  let mask = INITIAL_SLOTS - 1;
  let size = 0;

  const hashOf = (slot: number): number => slots[2 * slot] ?? 0;
  const referenceOf = (slot: number): number => slots[2 * slot + 1] ?? 0;
  const put = (slot: number, hash: number, reference: number): void => {
    slots[2 * slot] = hash;
    slots[2 * slot + 1] = reference;
  };
  const place = (hash: number, reference: number): void => {
    let slot = hash & mask;
    while (referenceOf(slot) !== 0) slot = (slot + 1) & mask;
    put(slot, hash, reference);
  };
  const grow = (): void => {
    invariant(mask + 1 < MAX_SLOTS, 'the hash table is full');
    const old = slots;
    mask = 2 * mask + 1;
    slots = new Uint32Array(2 * (mask + 1));
    for (let i = 0; i < old.length; i += 2) {
      const reference = old[i + 1] ?? 0;
      if (reference !== 0) place(old[i] ?? 0, reference);
    }
  };

  return {
    get size() {
      return size;
    },
    start: (hash) => hash & mask,
    next: (slot) => (slot + 1) & mask,
    hash: hashOf,
    reference: referenceOf,
    insert(hash, reference) {
      invariant(reference >= 1 && reference < 2 ** 32, 'a reference is 1 to 2^32 - 1');
      if (2 * (size + 1) > mask + 1) grow();
      place(hash, reference);
      size++;
    },
    remove(slot) {
      invariant(referenceOf(slot) !== 0, 'the slot to remove is empty');
      // Backward shift (Knuth 6.4, algorithm R): entries that probed across the hole move into it. No tombstones,
      // so that searches stay short however many come and go.
      let hole = slot;
      for (let at = (hole + 1) & mask; referenceOf(at) !== 0; at = (at + 1) & mask) {
        const distanceFromHome = (at - hashOf(at)) & mask;
        const distanceFromHole = (at - hole) & mask;
        if (distanceFromHome < distanceFromHole) continue;
        put(hole, hashOf(at), referenceOf(at));
        hole = at;
      }
      put(hole, 0, 0);
      size--;
    },
    forEachReference(callback) {
      for (let slot = 0; slot <= mask; slot++) if (referenceOf(slot) !== 0) callback(referenceOf(slot));
    },
  };
}
