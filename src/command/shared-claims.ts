import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { RetryableError } from '../platform/errors.js';

/** What is claimed is looked up and appended in a few milliseconds; whoever has held it for so long is stuck. */
const WAIT_TIMEOUT_MS = 5_000;
/** How often another process's claim is asked for again. */
const POLL_MS = 10;

const CLAIM_SQL = 'SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS claimed';
const UNCLAIM_SQL = 'SELECT pg_advisory_unlock(hashtextextended($1, 0))';

/**
 * Lets one process at a time look whether something is free, and take it, for what no single stream can decide: a script or a
 * descriptor that two wallets want. All claims of a process share one session and its advisory locks: they go with the session, so a
 * process that dies holds nothing. Within the process the caller sees to it that a key is claimed once at a time
 * (`KeyedLock`), because a session gets its own lock again.
 *
 * @throws RetryableError when the claim cannot be had in time, or the database is away
 */
export function createSharedClaims(pool: pg.Pool): <T>(key: string, work: () => Promise<T>) => Promise<T> {
  let current: Session | undefined;

  function enter(): Session {
    if (current === undefined || current.isLost) current = openSession(pool);
    current.users += 1;
    return current;
  }

  async function leave(session: Session): Promise<void> {
    session.users -= 1;
    if (session.users > 0) return;
    if (current === session) current = undefined;
    const client = await session.client.catch(() => undefined);
    client?.removeAllListeners('error');
    client?.release(session.isLost);
  }

  return async (key, work) => {
    const session = enter();
    try {
      await asking(session, (client) => claim(client, key));
      try {
        return await work();
      } finally {
        await asking(session, (client) => client.query({ name: 'unclaim', text: UNCLAIM_SQL, values: [key] }));
      }
    } finally {
      await leave(session);
    }
  };
}

interface Session {
  client: Promise<pg.PoolClient>;
  users: number;
  /** Its locks are gone or in doubt: it is ended with its last user, and nobody new gets it. */
  isLost: boolean;
}

function openSession(pool: pg.Pool): Session {
  const opening = pool.connect();
  const session: Session = { client: opening, users: 0, isLost: false };
  session.client = opening.then((client) =>
    client.on('error', () => {
      session.isLost = true;
    }),
  );
  return session;
}

async function asking(session: Session, ask: (client: pg.PoolClient) => Promise<unknown>): Promise<void> {
  try {
    await ask(await session.client);
  } catch (error) {
    if (error instanceof RetryableError) throw error;
    session.isLost = true;
    throw new RetryableError('claims of scripts and descriptors', {}, { cause: error });
  }
}

async function claim(client: pg.PoolClient, key: string): Promise<void> {
  const deadline = Date.now() + WAIT_TIMEOUT_MS;
  while (Date.now() < deadline) {
    const { rows } = await client.query<{ claimed: boolean }>({ name: 'claim', text: CLAIM_SQL, values: [key] });
    if (rows[0]?.claimed === true) return;
    await sleep(POLL_MS);
  }
  throw new RetryableError(`another process has held a claim for ${WAIT_TIMEOUT_MS} ms`, { key });
}
