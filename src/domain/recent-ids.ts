/** Ids in one generation; two generations are kept. Enough to cover what a stream gets while a look-up is under way. */
const GENERATION = 256;

interface Node {
  id: string;
  next: Node | null;
}

/**
 * The last ids that a stream took in, bounded: a stream may take in millions. Whether an id was used is known exactly by a
 * look-up of all events up to some moment together with the ids since then; this is the second part. Immutable, because a
 * stream's state is; adding is O(1), asking at most 2 × GENERATION steps.
 */
export interface RecentIds {
  /** Every id from this event of the stream on is in here (events counted from 0). */
  readonly since: number;
  readonly newer: Node | null;
  readonly newerSince: number;
  readonly newerCount: number;
  readonly older: Node | null;
}

export const NO_RECENT_IDS: RecentIds = { since: 0, newer: null, newerSince: 0, newerCount: 0, older: null };

/** Adds the id that the stream's event number `event` brought. */
export function addRecentId(recent: RecentIds, id: string, event: number): RecentIds {
  if (recent.newerCount < GENERATION) {
    return { ...recent, newer: { id, next: recent.newer }, newerCount: recent.newerCount + 1 };
  }
  return {
    since: recent.newerSince,
    older: recent.newer,
    newer: { id, next: null },
    newerSince: event,
    newerCount: 1,
  };
}

export function hasRecentId(recent: RecentIds, id: string): boolean {
  for (let node = recent.newer; node !== null; node = node.next) if (node.id === id) return true;
  for (let node = recent.older; node !== null; node = node.next) if (node.id === id) return true;
  return false;
}
