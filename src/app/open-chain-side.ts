import type pg from 'pg';
import type { BlockSource } from '../bitcoin/block-source.js';
import { createFollower, type Follower } from '../bitcoin/follow/follower.js';
import { openPushedBlocks } from '../bitcoin/push/open-pushed-blocks.js';
import type { PushedBlocks } from '../bitcoin/push/pushed-blocks.js';
import type { RegtestChain } from '../bitcoin/regtest/regtest-chain.js';
import type { EventStore } from '../eventstore/event-store.js';
import type { Outbox } from '../outbox/outbox.js';
import type { Config } from '../platform/config.js';
import type { Closers } from './closers.js';
import { openSource } from './open-source.js';

export interface ChainSideDeps {
  config: Config;
  store: EventStore;
  outbox: Outbox;
  pool: pg.Pool;
  onFatal: (error: unknown) => void;
  closers: Closers;
}

export interface ChainSide {
  follower: Follower;
  source: BlockSource;
  /** With the built-in chain. */
  regtest: RegtestChain | undefined;
  /** With pushed blocks. */
  pushedBlocks: PushedBlocks | undefined;
}

/** The source of blocks and what follows it, started. */
export async function openChainSide(deps: ChainSideDeps): Promise<ChainSide> {
  const { config, store, outbox, pool, onFatal, closers } = deps;
  const { ledger, network, startBlock, depositConfirmations, finalityDepth } = config;
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
    return { follower, source, regtest: undefined, pushedBlocks };
  }
  const following: { follower?: Follower } = {};
  const opened = await openSource(config, () => (following.follower?.status().tip?.height ?? 0) + 1);
  closers.add('source of blocks', () => opened.source.close());
  if (opened.kind === 'builtin') closers.add('built-in chain', () => opened.chain.close());
  const follower = createFollower({ ...settings, source: opened.source });
  following.follower = follower;
  await startFollower(follower, closers);
  const regtest = opened.kind === 'builtin' ? opened.chain : undefined;
  return { follower, source: opened.source, regtest, pushedBlocks: undefined };
}

async function startFollower(follower: Follower, closers: Closers): Promise<void> {
  await follower.start();
  closers.add('follower', () => follower.stop());
}
