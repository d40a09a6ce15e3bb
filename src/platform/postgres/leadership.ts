import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';

/** How often a standby asks for the leader's lock. */
const STANDBY_POLL_MS = 500;

export interface LeadershipOptions {
  pool: pg.Pool;
  /** Key of the advisory lock, as text of a bigint: one leader per key in the database. */
  key: string;
  /** Called each time the lock was asked for in vain. */
  standingBy: () => void;
}

/**
 * Runs `work` on a connection that holds an advisory lock; waits for it as long as it takes. The lock goes with the connection, so a
 * process that dies leads no more, and one that is cut off from the database cannot write either. A connection that is closed
 * under a process that lives on ends its leadership too: the signal given to `work` aborts. Between that moment and the one at
 * which it is noticed, or while a process is stopped, two may believe that they lead.
 */
export async function withLeaderLock(
  { pool, key, standingBy }: LeadershipOptions,
  signal: AbortSignal,
  work: (client: pg.PoolClient, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const client = await pool.connect();
  // The connection may be lost between two queries.
  const lost = new AbortController();
  const onLost = (): void => {
    lost.abort();
  };
  client.on('error', onLost);
  client.on('end', onLost);
  try {
    while (!signal.aborted) {
      const { rows } = await client.query<{ locked: boolean }>('SELECT pg_try_advisory_lock($1::bigint) AS locked', [
        key,
      ]);
      if (rows[0]?.locked === true) {
        await work(client, AbortSignal.any([signal, lost.signal]));
        return;
      }
      standingBy();
      // An abort is what ends the pause early, no error.
      await sleep(STANDBY_POLL_MS, undefined, { signal }).catch(() => undefined);
    }
  } finally {
    await endSession(client);
    client.off('error', onLost);
    client.off('end', onLost);
  }
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
