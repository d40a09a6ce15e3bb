import type { Follower } from '../bitcoin/follow/follower.js';
import type { RegtestChain } from '../bitcoin/regtest/regtest-chain.js';
import type { DevChain } from '../command/ports.js';
import type { Logger } from '../platform/logger.js';
import type { Progress } from '../projections/progress.js';

/** A newcomer who mines a block wants to see it in the very next answer. */
const READABLE_TIMEOUT_MS = 2_000;

export interface DevChainDeps {
  chain: RegtestChain;
  follower: Follower;
  progress: Progress;
  logger: Logger;
}

/** The built-in chain over HTTP. What changes the tip answers when the ledger has followed it and can be read there. */
export function createDevChain({ chain, follower, progress, logger }: DevChainDeps): DevChain {
  const followed = async (): Promise<void> => {
    try {
      await follower.syncNow();
      await progress.waitFor(follower.status().position, undefined, READABLE_TIMEOUT_MS);
    } catch (error) {
      // The block is mined all the same; health says what keeps the ledger from following.
      logger.warn({ err: error }, 'the ledger has not followed the built-in chain yet');
    }
  };
  return {
    mine: async (request) => {
      const mined = await chain.mine(request);
      await followed();
      return mined;
    },
    pay: (request) => chain.pay(request),
    reorg: async (request) => {
      const reorganised = await chain.reorg(request);
      await followed();
      return reorganised;
    },
  };
}
