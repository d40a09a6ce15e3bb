import type { SourceTrouble } from '../block-source.js';
import type { BlockPlace } from './chain-index.js';

export type FollowerState =
  | 'starting'
  /** Another process follows; this one reads along and goes on when that one ends. */
  | 'standby'
  /** Our tip is the source's, or has as much work. */
  | 'synced'
  /** Connecting blocks. */
  | 'syncing'
  /** The source is behind our chain: it restarted, lags, or follows a branch with less work. Nothing is undone. */
  | 'node-behind'
  | SourceTrouble
  /** The source gave a block that is not valid. */
  | 'block-invalid'
  /** The database does not take or give events. */
  | 'ledger-unavailable'
  /** Nothing more is written before a person looks: see `detail`. */
  | 'halted'
  | 'stopped';

export interface FollowerStatus {
  state: FollowerState;
  /** One sentence for people where the state is not good. */
  detail: string | undefined;
  sourceTip: BlockPlace | undefined;
  tip: BlockPlace | undefined;
  /** Last position of the ledger that the chain's state includes. */
  position: bigint;
  /** While syncing, over the last seconds; else 0. */
  blocksPerSecond: number;
  /** Time that the miner of our tip wrote into it, seconds since 1970: its age shows a source that has stopped. */
  tipTime: number | undefined;
  /** Milliseconds since 1970 when a block was last connected by this process. */
  lastConnectedAtMs: number | undefined;
  /** Depth of the deepest reorg that this process has seen. */
  deepestReorg: number;
  /** True from a reorg of the finality depth on: what was taken as final was not. */
  finalityBroken: boolean;
}
