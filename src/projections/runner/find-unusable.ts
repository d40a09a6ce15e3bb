import { readCheckpoints } from '../checkpoint.js';
import type { Queryable } from '../log-reader.js';
import type { Projection } from '../projection.js';
import { readSchema } from '../tables/identifiers.js';

/**
 * Projections whose tables cannot be gone on with, so that they must be rebuilt: of another version of the code; not rebuilt to the
 * end; not there, as after a restore without read models; or ahead of the log, as after a restore of an older one.
 */
export async function findUnusable(
  database: Queryable,
  ledger: string,
  projections: readonly Projection[],
): Promise<string[]> {
  const checkpoints = await readCheckpoints(database, ledger);
  const missing = await findWithoutTables(database, ledger, projections);
  // After the checkpoints: nothing that goes on meanwhile makes one look ahead.
  const { rows } = await database.query<{ position: bigint }>('SELECT position FROM ledger_head WHERE ledger = $1', [
    ledger,
  ]);
  const head = rows[0]?.position ?? 0n;
  return projections
    .filter(({ name, version }) => {
      const checkpoint = checkpoints.get(name);
      if (checkpoint === undefined || checkpoint.version !== version || checkpoint.state === 'rebuilding') return true;
      return missing.includes(name) || checkpoint.position > head;
    })
    .map(({ name }) => name);
}

/** Projections of which a table is not there. */
export async function findWithoutTables(
  database: Queryable,
  ledger: string,
  projections: readonly Projection[],
): Promise<string[]> {
  const { rows } = await database.query<{ tablename: string }>(
    'SELECT tablename FROM pg_tables WHERE schemaname = $1',
    [readSchema(ledger)],
  );
  const there = new Set(rows.map(({ tablename }) => tablename));
  return projections.filter(({ tables }) => tables.some(({ name }) => !there.has(name))).map(({ name }) => name);
}
