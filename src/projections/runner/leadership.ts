import type pg from 'pg';
import { advisoryKey } from '../tables/identifiers.js';
import { pause } from './pause.js';

/** How often a standby asks for the leader's lock. */
const STANDBY_POLL_MS = 500;

/** Runs `work` on a connection that holds the ledger's leader lock; waits for it as long as it takes. */
export async function withLeadership(
  { pool, ledger }: { pool: pg.Pool; ledger: string },
  signal: AbortSignal,
  standingBy: () => void,
  work: (client: pg.PoolClient) => Promise<void>,
): Promise<void> {
  const client = await pool.connect();
  // The connection may be lost between two queries: the next query says so.
  const ignore = (): void => undefined;
  client.on('error', ignore);
  try {
    while (!signal.aborted) {
      const { rows } = await client.query<{ locked: boolean }>('SELECT pg_try_advisory_lock($1::bigint) AS locked', [
        advisoryKey(ledger, 'projections'),
      ]);
      if (rows[0]?.locked === true) {
        await prepareSession(client);
        await work(client);
        return;
      }
      standingBy();
      await pause(STANDBY_POLL_MS, signal);
    }
  } finally {
    await endSession(client);
    client.off('error', ignore);
  }
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

/**
 * Gives up advisory locks and ends the session, whatever state it is in: its settings go with it. Unlocked by hand first, because
 * the server sees the end of a connection some time after us.
 */
export async function endSession(client: pg.PoolClient): Promise<void> {
  try {
    await client.query('SELECT pg_advisory_unlock_all()');
  } catch {
    // The connection is lost, or a COPY is in the middle: the end of the session unlocks too.
  } finally {
    client.release(true);
  }
}
