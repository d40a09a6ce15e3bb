import pg from 'pg';
import type { Config } from '../platform/config.js';
import { FatalError } from '../platform/errors.js';
import type { Logger } from '../platform/logger.js';
import { startEmbeddedPostgres } from '../platform/postgres/embedded.js';
import { migrate } from '../platform/postgres/migrate.js';
import { appRole, createPool } from '../platform/postgres/pool.js';

/** Arbitrary, the same in every version: the session that holds this lock owns the embedded server. */
const OWNER_LOCK = 0x7461_6c6c;

export interface OpenDatabase {
  url: string;
  /** Role that pools take on: it can add to the outbox, not change it. */
  role: string | undefined;
  /** Names of migrations applied now. */
  migrated: string[];
  /** Stops the embedded server if this process owns it. */
  close(): Promise<void>;
}

/**
 * Connects to the database of the configuration and brings it to the current schema. Without `DATABASE_URL` that is the
 * embedded server: the first process on a data folder owns it and stops it at the end; commands such as `verify` attach to
 * it while it runs.
 *
 * @param onLost called when the owned server ends before `close`
 * @throws FatalError when `mode` is 'own' and another process owns the data folder
 */
export async function openDatabase(
  config: Config,
  mode: 'own' | 'attach',
  logger: Logger,
  onLost: (error: Error) => void = () => undefined,
): Promise<OpenDatabase> {
  if (config.databaseUrl !== undefined) {
    const migrated = await reachable(migrate(config.databaseUrl));
    return {
      url: config.databaseUrl,
      role: await roleOf(config.databaseUrl),
      migrated,
      close: () => Promise.resolve(),
    };
  }
  const server = await startEmbeddedPostgres({ dataDir: config.dataDir });
  const lock = await takeOwnerLock(server.url);
  if (lock === undefined && mode === 'own') {
    throw new FatalError(
      `DATA_DIR: ${config.dataDir} is in use by another tallystick process: stop it, or choose another folder`,
    );
  }
  if (server.tookOver && lock !== undefined) {
    logger.warn({ pid: server.pid }, 'took over the PostgreSQL that a killed process left running');
  }
  let closing = false;
  lock?.on('end', () => {
    if (!closing) onLost(new FatalError('the embedded PostgreSQL ended: start again, it recovers what was committed'));
  });
  const close = async (): Promise<void> => {
    closing = true;
    if (lock === undefined) return;
    await lock.end();
    await server.stop();
  };
  try {
    const migrated = await migrate(server.url);
    return { url: server.url, role: await roleOf(server.url), migrated, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A session that holds the owner's lock until its process ends, however it ends; undefined where another one has it. */
async function takeOwnerLock(url: string): Promise<pg.Client | undefined> {
  const client = new pg.Client({ connectionString: url, application_name: `tallystick-owner-${process.pid}` });
  await client.connect();
  const { rows } = await client.query<{ taken: boolean }>('SELECT pg_try_advisory_lock($1) AS taken', [OWNER_LOCK]);
  if (rows[0]?.taken === true) {
    // The server going away: 'end' follows and is acted on.
    client.on('error', () => undefined);
    return client;
  }
  await client.end();
  return undefined;
}

/** Codes of Node for a server that is not there, and of PostgreSQL (class 28, 3D000) for one that does not let us in. */
const NOT_REACHABLE = /^(ECONNREFUSED|ENOTFOUND|ETIMEDOUT|EHOSTUNREACH|ECONNRESET|28...|3D000|57P03)$/;

/** What a person can mend is one line, without the URL: it holds a password. */
async function reachable<T>(attempt: Promise<T>): Promise<T> {
  try {
    return await attempt;
  } catch (cause) {
    const { code, message } = cause as { code?: string; message: string };
    if (code === undefined || !NOT_REACHABLE.test(code)) throw cause;
    throw new FatalError(`DATABASE_URL: the database cannot be used (${code}: ${message})`, {}, { cause });
  }
}

async function roleOf(url: string): Promise<string | undefined> {
  const pool = createPool(url, { max: 1 });
  try {
    return await appRole(pool);
  } finally {
    await pool.end();
  }
}
