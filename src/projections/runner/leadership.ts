import type pg from 'pg';
import { endSession, withLeaderLock } from '../../platform/postgres/leadership.js';
import { advisoryKey } from '../tables/identifiers.js';

export { endSession };

/** Runs `work` on a connection that holds the lock of the ledger's read models; waits for it as long as it takes. */
export async function withLeadership(
  { pool, ledger }: { pool: pg.Pool; ledger: string },
  signal: AbortSignal,
  standingBy: () => void,
  work: (client: pg.PoolClient) => Promise<void>,
): Promise<void> {
  await withLeaderLock({ pool, key: advisoryKey(ledger, 'projections'), standingBy }, signal, async (client) => {
    await prepareSession(client);
    await work(client);
  });
}

/**
 * - synchronous_commit off: what a crash takes away is read from the log again. The log itself never runs without it.
 * - No sequential scans, hash or merge joins: every statement of a lane reaches few rows by key, and a plan that was made while
 *   a table was empty would otherwise scan it when it is large.
 */
export async function prepareSession(client: pg.ClientBase): Promise<void> {
  await client.query(
    'SET synchronous_commit = off; SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; ' +
      'SET jit = off',
  );
}
