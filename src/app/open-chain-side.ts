import type { BlockSource } from '../bitcoin/block-source.js';
import { createFollower, type Follower } from '../bitcoin/follow/follower.js';
import { openPushedBlocks } from '../bitcoin/push/open-pushed-blocks.js';
import { createPushedBlockTable } from '../bitcoin/push/pushed-block-table.js';
import { openPushSource } from '../bitcoin/push/push-source.js';
import type { PushedBlocks } from '../bitcoin/push/pushed-blocks.js';
import type { RegtestChain } from '../bitcoin/regtest/regtest-chain.js';
import { createRegtestSource } from '../bitcoin/regtest/regtest-source.js';
import type { EventStore } from '../eventstore/event-store.js';
import type { Outbox } from '../outbox/outbox.js';
import { invariant } from '../platform/assert.js';
import type { Closers } from './closers.js';
import { createNodeSource } from './node-source.js';
import { openTurn } from './open-turn.js';
import type { LedgerContext } from './process-parts.js';

export interface ChainSideDeps extends LedgerContext {
  store: EventStore;
  outbox: Outbox;
  /** The built-in chain, where that is the source; all ledgers of the process share it. */
  regtest: RegtestChain | undefined;
}

export interface ChainSide {
  source: Pick<BlockSource, 'blocks'>;
  /** Undefined where another process follows. */
  follower: Follower | undefined;
  /** With pushed blocks. */
  pushedBlocks: PushedBlocks | undefined;
}

/** The source of blocks and what follows it, started. */
export async function openChainSide(deps: ChainSideDeps): Promise<ChainSide> {
  const { config, store, outbox, pool, ledger, onFatal, closers } = deps;
  const { network, startBlock, depositConfirmations, finalityDepth } = config;
  const settings = {
    ledger,
    network,
    store,
    outbox,
    startBlock,
    depositConfirmations,
    finalityDepth,
    now: () => Date.now(),
    random: () => Math.random(),
    onFatal,
  };
  if (config.source === 'push') {
    const { follower, pushedBlocks, source } = await openPushedBlocks({ ...settings, pool });
    closers.add('source of blocks', () => source.close());
    await startFollower(follower, closers);
    return { source, follower, pushedBlocks };
  }
  const following: { follower?: Follower } = {};
  const source = openSource(deps, () => (following.follower?.status().tip?.height ?? 0) + 1);
  closers.add('source of blocks', () => source.close());
  const hasTurn = config.source === 'rpc' ? openTurn(deps, 'follower') : undefined;
  const follower = createFollower({ ...settings, source, ...(hasTurn === undefined ? {} : { hasTurn }) });
  following.follower = follower;
  await startFollower(follower, closers);
  return { source, follower, pushedBlocks: undefined };
}

function openSource({ config, regtest }: ChainSideDeps, firstNeededHeight: () => number): BlockSource {
  if (config.source === 'rpc') return createNodeSource(config, firstNeededHeight);
  invariant(regtest !== undefined, 'the built-in chain is open');
  return createRegtestSource(regtest);
}

/** Blocks by their hashes, for a process that does not follow the chain. */
export async function openBlocksOnly({ config, pool, ledger, closers }: LedgerContext): Promise<ChainSide> {
  const source =
    config.source === 'push'
      ? await openPushSource(createPushedBlockTable(pool, ledger))
      : // Nothing is followed, so no block is missed: a pruned node is refused by the process that follows.
        createNodeSource(config, () => 0);
  closers.add('source of blocks', () => source.close());
  return { source, follower: undefined, pushedBlocks: undefined };
}

async function startFollower(follower: Follower, closers: Closers): Promise<void> {
  await follower.start();
  closers.add('follower', () => follower.stop());
}
