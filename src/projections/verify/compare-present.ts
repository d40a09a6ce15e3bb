import type pg from 'pg';
import { readCheckpoints } from '../checkpoint.js';
import { readLog } from '../log-reader.js';
import type { ChainContext, Projection } from '../projection.js';
import { CATCH_UP_BATCH } from '../runner/gather-lane.js';
import { Lane } from '../runner/lane.js';
import { prepareSession } from '../runner/leadership.js';
import { quoted, readSchema, verifySchema } from '../tables/identifiers.js';
import { isPresentOnly } from '../tables/table-definition.js';
import type { TableDefinition } from '../tables/table-definition.js';
import { compareRows } from './compare-table.js';
import type { MismatchList } from './mismatch.js';

export interface PresentOptions {
  pool: pg.Pool;
  ledger: string;
  signal?: AbortSignal | undefined;
}

export function presentTables({ tables }: Projection): TableDefinition[] {
  return tables.filter(isPresentOnly);
}

/**
 * Compares the tables of a projection that hold the present alone. Of those nothing can be told as of a former position: the live rows
 * are copied as they stand at one moment, with the position of that moment, and what was replayed is brought on to the same one.
 *
 * @param replayed where the scratch tables stand
 */
export async function comparePresent(
  { pool, ledger, signal }: PresentOptions,
  client: pg.ClientBase,
  projection: Projection,
  replayed: { position: bigint; context: ChainContext },
  list: MismatchList,
): Promise<void> {
  const tables = presentTables(projection);
  const scratch = verifySchema(ledger);
  const position = await copyPresent(client, ledger, projection, tables);
  const worker = await pool.connect();
  try {
    await prepareSession(worker);
    const lane = new Lane({
      ledger,
      schema: scratch,
      client: worker,
      projections: [{ projection, generation: 0n }],
      ...replayed,
      guarded: false,
    });
    while (lane.position < position) {
      signal?.throwIfAborted();
      const missing = Math.min(Number(position - lane.position), CATCH_UP_BATCH);
      const [halt] = await lane.apply(await readLog(worker, ledger, lane.position, missing));
      if (halt !== undefined) {
        list.add({
          kind: 'event',
          where: projection.name,
          key: `position ${halt.haltedAt}`,
          stored: halt.reason,
          expected: 'an event that can be applied',
        });
        return;
      }
    }
  } finally {
    worker.release(true);
  }
  for (const table of tables) {
    const rowsOf = (name: string): string => `SELECT * FROM ${quoted(scratch)}.${quoted(name)}`;
    await compareRows(client, table, { live: rowsOf(copyOf(table)), replayed: rowsOf(table.name) }, list);
  }
}

function copyOf({ name }: TableDefinition): string {
  return `live_${name}`;
}

/** One snapshot of rows and checkpoint. @returns the position of it */
async function copyPresent(
  client: pg.ClientBase,
  ledger: string,
  projection: Projection,
  tables: readonly TableDefinition[],
): Promise<bigint> {
  const scratch = quoted(verifySchema(ledger));
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
  try {
    const checkpoint = (await readCheckpoints(client, ledger)).get(projection.name);
    for (const table of tables) {
      const live = `${quoted(readSchema(ledger))}.${quoted(table.name)}`;
      await client.query(`CREATE TABLE ${scratch}.${quoted(copyOf(table))} AS SELECT * FROM ${live}`);
    }
    await client.query('COMMIT');
    return checkpoint?.position ?? 0n;
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  }
}
