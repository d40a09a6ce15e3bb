import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type pg from 'pg';
import { openDatabase } from '../app/open-database.js';
import { ConfigError, readConfig, type Config } from '../platform/config.js';
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
 * @param options.creates whether a data folder without a ledger gets one; otherwise it is a folder that somebody misspelt
 * @throws ConfigError where there is no ledger to work on
 */
export async function withDatabase(
  {
    label,
    connections,
    json,
    creates = false,
  }: { label: string; connections: number; json: boolean; creates?: boolean },
  run: (opened: WithDatabase) => Promise<void>,
): Promise<void> {
  const config = readConfig(process.env);
  // The password is the first thing that a start writes, wherever the cluster lies.
  if (!creates && config.databaseUrl === undefined && !existsSync(join(config.dataDir, 'postgres.password'))) {
    throw new ConfigError('DATA_DIR', `there is no ledger in ${config.dataDir}: 'tallystick start' makes one`);
  }
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
