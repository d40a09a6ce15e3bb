import type pg from 'pg';
import { openDatabase } from '../app/open-database.js';
import { readConfig, type Config } from '../platform/config.js';
import { createLogger } from '../platform/logger.js';
import { createPool } from '../platform/postgres/pool.js';
import { createProgress, type Progress } from './progress.js';

export interface WithDatabase {
  config: Config;
  pool: pg.Pool;
  progress: Progress;
}

/**
 * Runs a command on the configured database, beside a ledger that runs or alone, and closes everything it opened.
 *
 * @param options.label names the command in progress and in the server's list of sessions
 */
export async function withDatabase(
  { label, connections, json }: { label: string; connections: number; json: boolean },
  run: (opened: WithDatabase) => Promise<void>,
): Promise<void> {
  const config = readConfig(process.env);
  const database = await openDatabase(config, 'attach', createLogger(config.logLevel));
  const pool = createPool(database.url, {
    max: connections,
    role: database.role,
    applicationName: `tallystick-${label}`,
  });
  const progress = createProgress({ json, label });
  try {
    await run({ config, pool, progress });
  } finally {
    progress.stop();
    await pool.end();
    await database.close();
  }
}
