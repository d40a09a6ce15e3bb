import type { BlockClock } from './block-clock.js';
import type { BlockFile } from './block-file.js';
import type { Engine } from './chain-engine.js';
import type { ChainState } from './chain-state.js';
import type { Mempool } from './mempool.js';
import type { MinerWallet } from './miner-wallet.js';

/** Everything an open chain consists of. */
export interface ChainParts {
  directory: string;
  state: ChainState;
  mempool: Mempool;
  engine: Engine;
  wallet: MinerWallet;
  clock: BlockClock;
  blockFile: BlockFile;
  opened: { blocks: number; cutBytes: number };
  /** Closes the files and gives the directory free. */
  close: () => Promise<void>;
}
