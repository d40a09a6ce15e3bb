import type pg from 'pg';
import { insertCheckpoint, readCheckpoints } from './checkpoint.js';
import type { Projection } from './projection.js';
import { createIndexesSql, createTableSql } from './tables/ddl.js';
import { quoted, readSchema } from './tables/identifiers.js';

/** Makes the schema of a ledger's read models, and tables and checkpoint of every projection that was never there. */
export async function ensureTables(
  client: pg.ClientBase,
  ledger: string,
  projections: readonly Projection[],
): Promise<void> {
  const schema = readSchema(ledger);
  const checkpoints = await readCheckpoints(client, ledger);
  const missing = projections.filter(({ name }) => !checkpoints.has(name));
  if (missing.length === 0) return;
  await client.query('BEGIN');
  try {
    await client.query(`CREATE SCHEMA IF NOT EXISTS ${quoted(schema)}`);
    for (const projection of missing) {
      await createTables(client, schema, projection);
      await insertCheckpoint(client, ledger, projection);
    }
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  }
}

async function createTables(client: pg.ClientBase, schema: string, projection: Projection): Promise<void> {
  for (const table of projection.tables) {
    await client.query(createTableSql(schema, table));
    for (const sql of createIndexesSql(schema, table)) await client.query(sql);
  }
}
