import { openDatabase } from '../app/open-database.js';
import { readConfig } from '../platform/config.js';
import { createLogger } from '../platform/logger.js';

/** `tallystick migrate`: several processes may run it at once. */
export async function runMigrate(options: { json?: boolean }): Promise<void> {
  const config = readConfig(process.env);
  const database = await openDatabase(config, 'attach', createLogger(config.logLevel));
  try {
    const { migrated } = database;
    if (options.json === true) process.stdout.write(`${JSON.stringify({ migrated })}\n`);
    else if (migrated.length === 0) process.stdout.write('the database is up to date\n');
    else process.stdout.write(`${migrated.map((name) => `applied ${name}`).join('\n')}\n`);
  } finally {
    await database.close();
  }
}
