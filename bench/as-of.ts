import type pg from 'pg';
import { createAsOf } from '../src/query/as-of.js';
import type { AsOf } from '../src/query/as-of.js';
import { createPostgresOutbox } from '../src/outbox/postgres-outbox.js';
import { migrate } from '../src/platform/postgres/migrate.js';
import { createPool } from '../src/platform/postgres/pool.js';
import { ALL_PROJECTIONS } from '../src/projections/all-projections.js';
import { createIndexesSql, createTableSql } from '../src/projections/tables/ddl.js';
import { loadAccount } from '../src/query/graphql/resolvers/account.js';
import { Reader } from '../src/query/reader.js';
import type { ReaderDeps } from '../src/query/reader.js';
import { createReadDatabase } from '../src/query/sql/database.js';
import { startTemporaryPostgres } from '../test/support/postgres-server.js';
import { median } from './median-times.js';
import type { BenchRow } from './bench-row.js';

const LEDGER = 'bench';
const SCHEMA = `"read_${LEDGER}"`;
/** Facts of one account at one height. */
const FACTS_PER_HEIGHT = 5;
const GOAL = 1.5;

interface Size {
  rows: number;
  accounts: number;
  heights: number;
}

/**
 * The balance of a random account at a random position and height against its balance at present, over a history of ten
 * million rows. Both as a request does it: the moment is resolved, then the account is read at it. In the present the position moves with
 * every request, as it does in a ledger that is written to.
 */
export async function runAsOfBench({ quick }: { quick: boolean }): Promise<BenchRow[]> {
  const accounts = quick ? 1_000 : 10_000;
  const rows = quick ? 300_000 : 10_000_000;
  const size: Size = { rows, accounts, heights: rows / accounts / FACTS_PER_HEIGHT };
  const server = await startTemporaryPostgres(['shared_buffers=1GB', 'max_wal_size=8GB', 'maintenance_work_mem=512MB']);
  try {
    await migrate(server.url);
    const pool = createPool(server.url, { max: 4 });
    try {
      await fill(pool, size);
      return [await measure(pool, size, quick)];
    } finally {
      await pool.end();
    }
  } finally {
    await server.stop();
  }
}

async function measure(pool: pg.Pool, size: Size, quick: boolean): Promise<BenchRow> {
  const database = createReadDatabase(pool, LEDGER);
  let present = BigInt(size.rows);
  const readModels: ReaderDeps['readModels'] = {
    reached: () => Promise.resolve(present),
    tipAt: () => undefined,
    waitFor: () => Promise.resolve(present),
    onAdvanced: () => () => undefined,
    status: () => Promise.resolve([]),
  };
  const outbox = createPostgresOutbox({ pool, ledger: LEDGER });
  const deps: ReaderDeps = { database, outbox, readModels, resolveAsOf: createAsOf({ database, outbox, readModels }) };
  const random = xorshift(7);
  const read = async (asOf: AsOf | undefined): Promise<number> => {
    const id = `account-${random(size.accounts)}`;
    const started = performance.now();
    const view = await new Reader(deps, ['blocks', 'accounts']).view(asOf, 'account');
    const account = await loadAccount(view, id);
    const milliseconds = performance.now() - started;
    if (account === undefined) throw new Error(`there is no ${id}`);
    return milliseconds;
  };
  const past = (): AsOf => {
    const position = 1 + random(size.rows);
    return { position: BigInt(position), height: random(heightAt(position, size) + 1) };
  };
  const presents: number[] = [];
  const pasts: number[] = [];
  const reads = quick ? 2_000 : 10_000;
  for (let n = -500; n < reads; n += 1) {
    present += 1n;
    const nowMs = await read(undefined);
    const pastMs = await read(past());
    // The first ones warm caches and plans.
    if (n < 0) continue;
    presents.push(nowMs);
    pasts.push(pastMs);
  }
  const ratio = median(pasts) / median(presents);
  return {
    bench: 'as-of',
    measure: `balance at a random position and height, ${(size.rows / 1e6).toFixed(1)} million rows of history`,
    value: `${median(pasts).toFixed(3)} ms`,
    reference: `${median(presents).toFixed(3)} ms at present`,
    ratio,
    goal: `≤ ${GOAL}`,
    met: ratio <= GOAL,
    note: `medians of ${reads} reads each, taking turns; ${size.accounts} accounts, ${size.heights} heights`,
  };
}

function heightAt(position: number, { accounts }: Size): number {
  return Math.floor((position - 1) / (accounts * FACTS_PER_HEIGHT));
}

/** The tables as the projections would leave them: every account has a fact in turn, five turns to a block. */
async function fill(pool: pg.Pool, { rows, accounts, heights }: Size): Promise<void> {
  await pool.query(`CREATE SCHEMA ${SCHEMA}`);
  const tables = ALL_PROJECTIONS.flatMap((projection) => projection.tables);
  for (const table of tables) await pool.query(createTableSql(`read_${LEDGER}`, table));
  const perHeight = accounts * FACTS_PER_HEIGHT;
  const infinity = '9223372036854775807';
  await pool.query(
    `INSERT INTO ${SCHEMA}.account (account_id, opened_position, opened_height, recorded_at, metadata)
     SELECT 'account-' || n, 0, -1, now(), '{}' FROM generate_series(0, $1::int - 1) n`,
    [accounts],
  );
  await pool.query(
    `INSERT INTO ${SCHEMA}.account_books (account_id, height, received_sats, sent_sats, reserved_sats, from_position)
     SELECT 'account-' || (i - 1) % $1::int, (i - 1) / $2::int, i / $1::int + 1, 0, 0, i
     FROM generate_series(1, $3::bigint) i`,
    [accounts, perHeight, rows],
  );
  await pool.query(
    `INSERT INTO ${SCHEMA}.account_chain (account_id, height, deposited_sats, matured_sats, from_position, to_position)
     SELECT 'account-' || n, h, h, h, 1 + h * $2::bigint, ${infinity}
     FROM generate_series(0, $1::int - 1) n, generate_series(0, $3::int - 1, 10) h`,
    [accounts, perHeight, heights],
  );
  const hash = `encode(sha256(('block ' || h)::bytea), 'hex')`;
  await pool.query(
    `INSERT INTO ${SCHEMA}.block (hash, height, prev_hash, time, bits, revision, from_position, to_position)
     SELECT ${hash}, h, NULL, 0, 0, h, 1 + h * $1::bigint, ${infinity} FROM generate_series(0, $2::int - 1) h`,
    [perHeight, heights],
  );
  await pool.query(
    `INSERT INTO ${SCHEMA}.chain_tip (id, height, hash, highest, disconnecting, from_position, to_position)
     SELECT 0, h, ${hash}, h, false, 1 + h * $1::bigint,
       CASE WHEN h = $2::int - 1 THEN ${infinity} ELSE 1 + (h + 1) * $1::bigint END
     FROM generate_series(0, $2::int - 1) h`,
    [perHeight, heights],
  );
  for (const sql of tables.flatMap((table) => createIndexesSql(`read_${LEDGER}`, table))) await pool.query(sql);
  await pool.query('VACUUM ANALYZE');
}

/** Marsaglia's xorshift32: the same questions in every run. */
function xorshift(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}
