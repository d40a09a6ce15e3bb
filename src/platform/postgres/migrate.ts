import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import knexPackage from 'knex';
import { MIGRATIONS_FOLDER } from './binaries.js';

/**
 * Brings the database to the current schema: numbered SQL files, forward only, each in a transaction, under a lock, so that
 * several processes may call this at once.
 *
 * @returns the names of the migrations that were applied now
 */
export async function migrate(url: string): Promise<string[]> {
  const knex = knexPackage({ client: 'pg', connection: url, pool: { min: 0, max: 2 } });
  try {
    const [, applied] = (await knex.migrate.latest({
      migrationSource: sqlFiles(MIGRATIONS_FOLDER),
      tableName: 'schema_migration',
    })) as [number, string[]];
    return applied;
  } finally {
    await knex.destroy();
  }
}

/** knex keeps the names of what it has run: the names are the files', the same in the sources and in the build. */
function sqlFiles(folder: string): knexPackage.Knex.MigrationSource<string> {
  return {
    getMigrations: async () => (await readdir(folder)).filter((name) => name.endsWith('.sql')).sort(),
    getMigrationName: (name) => name,
    getMigration: async (name) => {
      const sql = await readFile(join(folder, name), 'utf8');
      return {
        up: async (knex) => {
          await knex.raw(sql.replaceAll('?', '\\?'));
        },
        down: () => Promise.reject(new Error('migrations go forward only')),
      };
    },
  };
}
