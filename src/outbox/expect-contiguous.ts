/** What a delivery is worth to a consumer that stands at a position. */
export interface Contiguity<E> {
  /** Events directly after the position, one after the other. */
  next: E[];
  /** Where the delivery skips: the first position that is missing, and the one that came instead. */
  gap: { missing: bigint; found: bigint } | undefined;
}

/**
 * Holds a delivery against where its consumer stands. What it has already is dropped (any transport may deliver again); at a
 * position that is missing it stops: what comes after must not be applied before the missing ones have been fetched.
 *
 * @param events ordered by position, perhaps with repetitions
 */
export function expectContiguous<E extends { position: bigint }>(
  afterPosition: bigint,
  events: readonly E[],
): Contiguity<E> {
  const next: E[] = [];
  let expected = afterPosition + 1n;
  for (const event of events) {
    if (event.position < expected) continue;
    if (event.position > expected) return { next, gap: { missing: expected, found: event.position } };
    next.push(event);
    expected += 1n;
  }
  return { next, gap: undefined };
}
