import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { BlockSource } from '../bitcoin/block-source.js';
import { openRegtestChain } from '../bitcoin/regtest/open-regtest-chain.js';
import type { RegtestChain } from '../bitcoin/regtest/regtest-chain.js';
import { createRpcSource } from '../bitcoin/rpc/rpc-source.js';
import { invariant } from '../platform/assert.js';
import type { Config } from '../platform/config.js';

/**
 * The node of the configuration.
 *
 * @param firstNeededHeight the lowest block that the ledger has yet to read: a node that is pruned above it is refused
 */
export function createNodeSource(config: Config, firstNeededHeight: () => number): BlockSource {
  invariant(config.source === 'rpc' && config.rpcUrl !== undefined, 'a node has a URL');
  return createRpcSource({
    url: config.rpcUrl,
    network: config.network,
    firstNeededHeight,
    ...(config.startBlock === undefined ? {} : { startBlock: config.startBlock }),
  });
}

/** The built-in chain under `DATA_DIR`. */
export function openBuiltinChain(config: Config): Promise<RegtestChain> {
  return openRegtestChain({
    directory: join(config.dataDir, 'regtest'),
    now: () => Date.now(),
    random: (count) => randomBytes(count),
  });
}
