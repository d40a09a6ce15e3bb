import type pg from 'pg';
import { readLog } from '../log-reader.js';
import type { Projection } from '../projection.js';
import { classifyWriteError } from '../runner/classify-write-error.js';
import { CATCH_UP_BATCH } from '../runner/gather-lane.js';
import { Lane } from '../runner/lane.js';
import { createIndexesSql, createTableSql } from '../tables/ddl.js';
import { quoted } from '../tables/identifiers.js';
import { CannotProjectError } from './cannot-project-error.js';

interface FindPoisonOptions {
  pool: pg.Pool;
  ledger: string;
  targets: readonly { projection: Projection; schema: string }[];
  to: bigint;
  signal: AbortSignal | undefined;
  /** What ended the bulk load. */
  error: unknown;
}

/**
 * The database refused rows of a bulk load, which does not say of which event. The log is applied once more the slow way, which
 * does: a tenth of the speed, in a case that a person must look at anyway.
 *
 * @returns undefined where the error was another one
 */
export async function findPoison(options: FindPoisonOptions): Promise<CannotProjectError | undefined> {
  const { pool, error, targets } = options;
  const isOfDatabase = error instanceof Error && 'severity' in error;
  if (!isOfDatabase || classifyWriteError(error) instanceof Error) return undefined;
  const client = await pool.connect();
  try {
    for (const target of targets) {
      const poison = await applySlowly(options, target, client);
      if (poison) return poison;
    }
    return undefined;
  } finally {
    client.release(true);
  }
}

async function applySlowly(
  { ledger, to, signal, error }: FindPoisonOptions,
  { projection, schema }: FindPoisonOptions['targets'][number],
  client: pg.PoolClient,
): Promise<CannotProjectError | undefined> {
  for (const table of projection.tables) {
    await client.query(`DROP TABLE IF EXISTS ${quoted(schema)}.${quoted(table.name)}`);
    await client.query(createTableSql(schema, table));
    for (const sql of createIndexesSql(schema, table)) await client.query(sql);
  }
  const lane = new Lane({
    ledger,
    schema,
    client,
    projections: [{ projection, generation: 0n }],
    position: 0n,
    context: { tip: null, policy: null },
    guarded: false,
  });
  while (lane.position < to) {
    signal?.throwIfAborted();
    const [halt] = await lane.apply(await readLog(client, ledger, lane.position, CATCH_UP_BATCH));
    if (halt) return new CannotProjectError(halt, { cause: error });
  }
  return undefined;
}
