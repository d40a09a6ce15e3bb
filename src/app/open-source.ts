import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { BlockSource } from '../bitcoin/block-source.js';
import { openRegtestChain } from '../bitcoin/regtest/open-regtest-chain.js';
import type { RegtestChain } from '../bitcoin/regtest/regtest-chain.js';
import { createRegtestSource } from '../bitcoin/regtest/regtest-source.js';
import { createRpcSource } from '../bitcoin/rpc/rpc-source.js';
import type { Config } from '../platform/config.js';
import { invariant } from '../platform/assert.js';

export type OpenSource =
  { kind: 'builtin'; source: BlockSource; chain: RegtestChain } | { kind: 'rpc'; source: BlockSource };

/**
 * Opens the source of blocks that the configuration names, other than pushed blocks, which need the follower first.
 *
 * @param firstNeededHeight the lowest block that the ledger has yet to read: a node that is pruned above it is refused
 */
export async function openSource(config: Config, firstNeededHeight: () => number): Promise<OpenSource> {
  if (config.source === 'builtin') {
    const chain = await openRegtestChain({
      directory: join(config.dataDir, 'regtest'),
      now: () => Date.now(),
      random: (count) => randomBytes(count),
    });
    return { kind: 'builtin', source: createRegtestSource(chain), chain };
  }
  invariant(config.source === 'rpc' && config.rpcUrl !== undefined, 'a node has a URL');
  const source = createRpcSource({
    url: config.rpcUrl,
    network: config.network,
    firstNeededHeight,
    ...(config.startBlock === undefined ? {} : { startBlock: config.startBlock }),
  });
  return { kind: 'rpc', source };
}
