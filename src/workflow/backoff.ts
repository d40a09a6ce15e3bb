/** How long to wait before the n-th try of something. */
export interface BackoffOptions {
  firstMs: number;
  maxMs: number;
}

/**
 * Doubles from try to try up to a bound, less up to a quarter at random, so that what failed together is not tried together.
 *
 * @param failures failures in a row so far, from 1
 * @param random from 0 to 1
 */
export function backoffMs({ firstMs, maxMs }: BackoffOptions, failures: number, random: number): number {
  // Beyond 2^30 the bound has long been reached, and the product must stay a number.
  const full = Math.min(maxMs, firstMs * 2 ** Math.min(failures - 1, 30));
  return Math.round(full * (1 - random / 4));
}
