import type pg from 'pg';
import type { OverdueMinutes } from './overdue.js';
import type { Outbox } from '../outbox/outbox.js';
import type { Logger } from '../platform/logger.js';
import type { Authenticate } from '../platform/http/api-keys.js';
import type { ProjectionStatus } from '../projections/status.js';

/** How far the read models are. Positions only ever name what is committed and can be read. */
export interface ReadModels {
  /** Lowest position that these have reached; 0n where one of them is not there or being rebuilt. */
  reached(names: readonly string[]): Promise<bigint>;
  /** The tip as of this position where that is known here, without asking the database; null: no chain yet. */
  tipAt(position: bigint): { height: number; hash: string } | null | undefined;
  /** Waits until all of these have reached `position`; answers the lowest that they have reached, below it when the time was up. */
  waitFor(position: bigint, names: readonly string[], timeoutMs: number): Promise<bigint>;
  /** Calls back after positions moved, once for many moves. Returns the way to stop it. */
  onAdvanced(listener: () => void): () => void;
  status: () => Promise<ProjectionStatus[]>;
}

/** One part that has to work for this process to be ready. */
export interface HealthCheck {
  name: 'database' | 'feed' | 'lag' | 'node' | (string & {});
  /** A sentence for people, with nothing of the inside. */
  check: () => Promise<{ ok: boolean; detail: string }>;
}

export interface QueryDeps {
  /** Reads only; `int8` must come as bigint. */
  pool: pg.Pool;
  ledger: string;
  outbox: Outbox;
  readModels: ReadModels;
  /** For WebSockets, which come past the hooks of HTTP. */
  authenticate: Authenticate;
  health: readonly HealthCheck[];
  logger: Logger;
  /** Minutes that a withdrawal may stay in each status before it is overdue; without them `DEFAULT_OVERDUE_MINUTES`. */
  overdueMinutes?: OverdueMinutes;
}
