import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { invariant } from '../../platform/assert.js';
import { FatalError } from '../../platform/errors.js';
import { createBlockClock, type BlockClock } from './block-clock.js';
import { openBlockFile, type BlockFile } from './block-file.js';
import { parseBlock, type ParsedBlock } from './block.js';
import { nextTurn } from './call-queue.js';
import { createEngine, type Engine } from './chain-engine.js';
import { createChainState, type ChainState } from './chain-state.js';
import { createRegtestChain } from './create-regtest-chain.js';
import { lockDirectory } from './directory-lock.js';
import { BLOCKS_PER_TURN, DEFAULT_PREMINED_BLOCKS, PREMINED_SPACING_SECONDS } from './limits.js';
import { openMempoolLog } from './mempool-log.js';
import { createMempool } from './mempool.js';
import { createMinerWallet, loadOrCreateSeed, type MinerWallet } from './miner-wallet.js';
import { REGTEST_GENESIS_HEX } from './parameters.js';
import type { OpenOptions, RegtestChain } from './regtest-chain.js';
import { isChainRejection } from './rejection.js';

/**
 * Opens the built-in regtest chain of a directory, or begins one: a real chain with proof of work, a mempool and a miner
 * with money, in one process and without a node. Everything is on disk before it counts.
 *
 * @throws FatalError when the directory is in use, or what is in it cannot be read
 */
export async function openRegtestChain(options: OpenOptions): Promise<RegtestChain> {
  const { directory } = options;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const lock = lockDirectory(directory);
  const closers: (() => Promise<void> | void)[] = [() => lock.release()];
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    const blocksPath = join(directory, 'blk00000.dat');
    // The seed is made before the first block: blocks without one mean that it was lost.
    const seed = loadOrCreateSeed(join(directory, 'miner-seed'), existsSync(blocksPath), options.random);
    const wallet = createMinerWallet(seed);
    const blockFile = await openBlockFile(blocksPath);
    closers.push(() => blockFile.close());
    const mempoolLog = openMempoolLog(join(directory, 'mempool.log'));
    closers.push(() => mempoolLog.close());
    const clock = createBlockClock(options.now, options.blockTimes);

    const genesis = readGenesis();
    const state = createChainState(genesis, (script) => wallet.owns(script));
    const mempool = createMempool();
    const engine = createEngine({ state, mempool, blockFile, mempoolLog, assertLocked: () => lock.assertHeld() });
    const opened = await loadBlocks(blockFile, engine, genesis, state);
    engine.reloadMempool();
    premine(engine, state, wallet, clock, options.preminedBlocks ?? DEFAULT_PREMINED_BLOCKS);
    return createRegtestChain({ directory, state, mempool, engine, wallet, clock, blockFile, opened, close });
  } catch (error) {
    await close();
    throw error;
  }
}

function readGenesis(): ParsedBlock {
  const genesis = parseBlock(Buffer.from(REGTEST_GENESIS_HEX, 'hex'));
  invariant(!isChainRejection(genesis), 'genesis is a block');
  return genesis;
}

async function loadBlocks(
  blockFile: BlockFile,
  engine: Engine,
  genesis: ParsedBlock,
  state: ChainState,
): Promise<{ blocks: number; cutBytes: number }> {
  let blocks = 0;
  const cutBytes = await blockFile.replay(async (block, place) => {
    if (blocks === 0 && block.hash !== genesis.hash) {
      throw new FatalError('The block file does not begin with the genesis block of regtest.', { hash: block.hash });
    }
    engine.replay(block, place);
    blocks += 1;
    if (blocks % BLOCKS_PER_TURN === 0) await nextTurn();
  });
  if (blocks === 0) {
    const entry = state.entry(genesis.hash);
    invariant(entry, 'genesis is in the state from the start');
    entry.place = blockFile.append([genesis.raw])[0];
  }
  return { blocks, cutBytes };
}

/** Brings the chain to its first height; also where a crash came between the first block and the last of them. */
function premine(engine: Engine, state: ChainState, wallet: MinerWallet, clock: BlockClock, top: number): void {
  const missing = top - state.tip().height;
  if (missing <= 0) return;
  engine.mine(missing, {
    payoutScript: wallet.rewardScript,
    timeOf: clock.timesUpTo(top, PREMINED_SPACING_SECONDS),
    transactions: [],
  });
}
