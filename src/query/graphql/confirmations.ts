import { invariant } from '../../platform/assert.js';
import type { ResolvedAsOf } from '../as-of.js';

/** Computed from the tip as of the moment, never stored: `tip - height + 1`, 0 for what no connected block holds. */
export function confirmationsAt(at: ResolvedAsOf, blockHeight: number | null): number {
  if (blockHeight === null) return 0;
  invariant(at.tip !== null && at.tip.height >= blockHeight, `a block at height ${blockHeight} is above the tip`);
  return at.tip.height - blockHeight + 1;
}
