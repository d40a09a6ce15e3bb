import { FatalError } from '../../platform/errors.js';
import { MEDIAN_TIME_SPAN } from './parameters.js';
import type { OpenOptions } from './regtest-chain.js';

/** btcd refuses witnesses in blocks dated before BIP16 came into force on 1 April 2012. */
const FIRST_FIXED_SECONDS = 1_333_238_400;

/** Blocks that can share a second: as soon as half of the span has it, it is the median, which the next block must exceed. */
const BLOCKS_PER_SECOND = Math.ceil(MEDIAN_TIME_SPAN / 2);

export interface BlockClock {
  /** The clock itself, in whole seconds. */
  nowSeconds(): number;
  /**
   * Dates the next of `count` blocks that are mined in one go. `least` is the least that the rules allow and always wins.
   * Live blocks of a long run begin a little in the past where there is room, so that the last one is dated now.
   */
  timesFor(count: number): (height: number, least: number) => number;
  /** Dates blocks up to `top` as if one had come every ten minutes until now. */
  timesUpTo(top: number, spacingSeconds: number): (height: number, least: number) => number;
  /** The latest date that a run of `count` blocks may need. */
  latestOf(count: number, tip: { height: number; time: number }): number;
}

export function createBlockClock(now: () => number, blockTimes: OpenOptions['blockTimes']): BlockClock {
  const nowSeconds = (): number => Math.floor(now() / 1_000);
  const fixed = blockTimes?.kind === 'fixed' ? blockTimes : undefined;
  if (fixed) {
    const { startSeconds, stepSeconds } = fixed;
    const isUsable = Number.isSafeInteger(startSeconds) && Number.isSafeInteger(stepSeconds) && stepSeconds >= 1;
    if (!isUsable || startSeconds < FIRST_FIXED_SECONDS) {
      throw new FatalError('Fixed block times start after 1 April 2012 and go on by at least a second.', { ...fixed });
    }
  }
  const fixedAt = (height: number): number | undefined => fixed && fixed.startSeconds + height * fixed.stepSeconds;
  return {
    nowSeconds,
    timesFor(count) {
      const end = nowSeconds();
      let remaining = count;
      return (height, least) => {
        remaining = Math.max(remaining - 1, 0);
        return Math.max(least, fixedAt(height) ?? end - Math.floor(remaining / BLOCKS_PER_SECOND));
      };
    },
    timesUpTo(top, spacingSeconds) {
      const end = nowSeconds();
      return (height, least) => Math.max(least, fixedAt(height) ?? end - (top - height) * spacingSeconds);
    },
    latestOf(count, tip) {
      const steps = Math.ceil(count / BLOCKS_PER_SECOND) + 1;
      return fixed ? Math.max(fixedAt(tip.height + count) ?? 0, tip.time + steps) : tip.time + steps;
    },
  };
}
