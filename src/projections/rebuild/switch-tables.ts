import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { RetryableError } from '../../platform/errors.js';
import { readCheckpoints } from '../checkpoint.js';
import type { ChainContext, Projection } from '../projection.js';
import { advisoryKey, quoted, readSchema } from '../tables/identifiers.js';

/** Attempts to get the old tables to ourselves between the readers' statements, and the pause after each. */
const SWITCH_ATTEMPTS = 600;
const SWITCH_PAUSE_MS = 5;

const LOCK_NOT_AVAILABLE = '55P03';

export interface Rebuilt {
  position: bigint;
  context: ChainContext;
}

export interface SwitchContext {
  client: pg.ClientBase;
  ledger: string;
  /** All that the program knows. */
  projections: readonly Projection[];
}

/**
 * Puts rebuilt tables in the place of the live ones, with the checkpoint, in one transaction. Readers see the old tables or the new
 * ones, and are waited for between attempts, never blocked by one that waits. Tables that no projection has any more go with them.
 *
 * @param catchUp brings the rebuilt tables up to the live position; called while the live runner cannot write
 * @throws RetryableError where readers leave no gap
 */
export async function switchTables(
  { client, ledger, projections }: SwitchContext,
  projection: Projection,
  rebuildSchema: string,
  catchUp: (livePosition: bigint) => Promise<Rebuilt>,
): Promise<Rebuilt> {
  const key = advisoryKey(ledger, 'switch');
  // For the session: waits for the runner's write in flight, and makes later ones give way.
  await client.query('SELECT pg_advisory_lock($1::bigint)', [key]);
  try {
    for (let attempt = 0; attempt < SWITCH_ATTEMPTS; attempt += 1) {
      const live = (await readCheckpoints(client, ledger)).get(projection.name);
      const rebuilt = await catchUp(live?.position ?? 0n);
      if (await trySwitch({ client, ledger, projections }, projection, rebuildSchema, rebuilt)) return rebuilt;
      await sleep(SWITCH_PAUSE_MS);
    }
    throw new RetryableError(`tables of ${projection.name} are in use: cannot switch`, { attempts: SWITCH_ATTEMPTS });
  } finally {
    await client.query('SELECT pg_advisory_unlock($1::bigint)', [key]);
  }
}

async function trySwitch(
  { client, ledger, projections }: SwitchContext,
  projection: Projection,
  rebuildSchema: string,
  { position, context }: Rebuilt,
): Promise<boolean> {
  const schema = readSchema(ledger);
  await client.query('BEGIN');
  try {
    await client.query(`CREATE SCHEMA IF NOT EXISTS ${quoted(schema)}`);
    for (const { name } of projection.tables) {
      await dropTable(client, schema, name);
      await client.query(`ALTER TABLE ${quoted(rebuildSchema)}.${quoted(name)} SET SCHEMA ${quoted(schema)}`);
    }
    for (const name of await tablesOfNobody({ client, ledger, projections }, projection)) {
      await dropTable(client, schema, name);
    }
    await client.query(
      `INSERT INTO projection_checkpoint AS c (ledger, name, version, position, tip_height, tip_hash, policy, state, generation)
       VALUES ($1, $2, $3, $4, $5, $6, $7, 'live', 1)
       ON CONFLICT (ledger, name) DO UPDATE SET version = excluded.version, position = excluded.position,
         tip_height = excluded.tip_height, tip_hash = excluded.tip_hash, policy = excluded.policy, state = 'live',
         halted_at = NULL, reason = NULL, generation = c.generation + 1`,
      [
        ledger,
        projection.name,
        projection.version,
        position,
        context.tip?.height ?? null,
        context.tip?.hash ?? null,
        context.policy === null ? null : JSON.stringify(context.policy),
      ],
    );
    await client.query('COMMIT');
    return true;
  } catch (error) {
    await client.query('ROLLBACK');
    if (error instanceof Error && 'code' in error && error.code === LOCK_NOT_AVAILABLE) return false;
    throw error;
  }
}

async function dropTable(client: pg.ClientBase, schema: string, name: string): Promise<void> {
  const live = `${quoted(schema)}.${quoted(name)}`;
  const { rows } = await client.query<{ there: boolean }>('SELECT to_regclass($1) IS NOT NULL AS there', [live]);
  if (rows[0]?.there !== true) return;
  await client.query(`LOCK TABLE ${live} IN ACCESS EXCLUSIVE MODE NOWAIT`);
  await client.query(`DROP TABLE ${live}`);
}

/**
 * Tables that a former version had and no projection has now. None, while another projection is of another version than the
 * program's or not known to it: they may be that one's.
 */
async function tablesOfNobody({ client, ledger, projections }: SwitchContext, switched: Projection): Promise<string[]> {
  const versions = new Map(projections.map(({ name, version }) => [name, version]));
  for (const { name, version } of (await readCheckpoints(client, ledger)).values()) {
    if (name !== switched.name && versions.get(name) !== version) return [];
  }
  const known = projections.flatMap(({ tables }) => tables.map(({ name }) => name));
  const { rows } = await client.query<{ tablename: string }>(
    'SELECT tablename FROM pg_tables WHERE schemaname = $1 AND tablename <> ALL ($2::text[])',
    [readSchema(ledger), known],
  );
  return rows.map(({ tablename }) => tablename);
}
