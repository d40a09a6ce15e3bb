import type pg from 'pg';
import { readCheckpoints } from '../../src/projections/checkpoint.js';
import { ALL_PROJECTIONS } from '../../src/projections/all-projections.js';
import { ensureTables } from '../../src/projections/ensure-tables.js';
import { readLog } from '../../src/projections/log-reader.js';
import type { Projection } from '../../src/projections/projection.js';
import { Lane } from '../../src/projections/runner/lane.js';
import type { Halt } from '../../src/projections/runner/lane.js';
import { prepareSession } from '../../src/projections/runner/leadership.js';
import { isVersioned, keyColumns } from '../../src/projections/tables/table-definition.js';
import { quoted, readSchema } from '../../src/projections/tables/identifiers.js';

/**
 * Brings the read models to the head of the log, through the live path, in batches of the sizes that `nextBatch` says.
 * Each call begins anew from the checkpoints, as after a restart.
 */
export async function projectToHead(
  pool: pg.Pool,
  ledger: string,
  nextBatch: () => number = () => 100,
  projections: readonly Projection[] = ALL_PROJECTIONS,
): Promise<Halt[]> {
  const client = await pool.connect();
  try {
    await prepareSession(client);
    await ensureTables(client, ledger, projections);
    const checkpoints = await readCheckpoints(client, ledger);
    const members = projections.map((projection) => ({
      projection,
      generation: checkpoints.get(projection.name)?.generation ?? 0n,
    }));
    const first = checkpoints.get(projections[0]?.name ?? '');
    const lane = new Lane({
      ledger,
      schema: readSchema(ledger),
      client,
      projections: members,
      position: first?.position ?? 0n,
      context: first?.context ?? { tip: null, policy: null },
      guarded: true,
    });
    const read = (after: bigint) => readLog(pool, ledger, after, nextBatch());
    const halts: Halt[] = [];
    let events = await read(lane.position);
    for (let batch = 0; events.length > 0; batch += 1) {
      // Two of three are computed while the one before is written.
      const following = batch % 3 === 2 ? [] : await read(events.at(-1)?.position ?? 0n);
      const halted = await lane.apply(events, following);
      halts.push(...halted);
      events = following.length > 0 && halted.length === 0 ? following : await read(lane.position);
    }
    return halts;
  } finally {
    client.release(true);
  }
}

/** Every row of every read table, in the order of its key: two sets of tables are equal if these are. */
export async function dumpTables(
  pool: pg.Pool,
  schema: string,
  projections: readonly Projection[] = ALL_PROJECTIONS,
): Promise<Record<string, Record<string, unknown>[]>> {
  const dump: Record<string, Record<string, unknown>[]> = {};
  for (const table of projections.flatMap(({ tables }) => tables)) {
    const order = keyColumns(table).map(({ name }) => quoted(name));
    if (isVersioned(table)) order.push('from_position');
    const { rows } = await pool.query<Record<string, unknown>>(
      `SELECT * FROM ${quoted(schema)}.${quoted(table.name)} ORDER BY ${order.join(', ')}`,
    );
    dump[table.name] = rows;
  }
  return dump;
}
