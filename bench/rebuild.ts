import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import { migrate } from '../src/platform/postgres/migrate.js';
import { createPool } from '../src/platform/postgres/pool.js';
import { ALL_PROJECTIONS } from '../src/projections/all-projections.js';
import { rebuildProjections } from '../src/projections/rebuild/rebuild-projections.js';
import { createIndexesSql, createTableSql } from '../src/projections/tables/ddl.js';
import { startTemporaryPostgres } from '../test/support/postgres-server.js';
import type { BenchRow } from './bench-row.js';
import { fillLog } from './rebuild-log.js';

const GOAL = 0.6;

/**
 * A rebuild of every read model from position 1 (replay, load, indexes, switch) against the mere reading of the log by
 * `COPY outbox TO STDOUT` into nothing. Interleaved, median of the rounds.
 */
export async function runRebuildBench({ quick }: { quick: boolean }): Promise<BenchRow[]> {
  const events = quick ? 100_000 : 1_000_000;
  const rounds = 3;
  const server = await startTemporaryPostgres([]);
  const pool = createPool(server.url, { max: 8 });
  try {
    await migrate(server.url);
    const client = await pool.connect();
    await fillLog(client, 'bench', events);
    client.release();
    const reads: number[] = [];
    const rebuilds: number[] = [];
    const loads: number[] = [];
    let phases: Record<string, number> = {};
    let peakBytes = 0;
    let reports = 0;
    for (let round = 0; round < rounds; round += 1) {
      reads.push(await timed(() => readLog(pool)));
      phases = {};
      let last = performance.now();
      rebuilds.push(
        await timed(() =>
          rebuildProjections({
            pool,
            ledger: 'bench',
            projections: ALL_PROJECTIONS,
            onProgress: ({ phase }) => {
              const now = performance.now();
              phases[phase] = (phases[phase] ?? 0) + now - last;
              last = now;
              // Asking costs a tenth of a millisecond: now and then.
              if (++reports % 256 === 0) peakBytes = Math.max(peakBytes, process.memoryUsage().rss);
            },
          }),
        ),
      );
      loads.push(await timed(() => loadBare(pool)));
    }
    const read = median(reads);
    const rebuild = median(rebuilds);
    const load = median(loads);
    const rows = await rowsWritten(pool);
    return [
      {
        bench: 'rebuild',
        measure: `all read models from ${events.toLocaleString('en')} events, ${rows.toLocaleString('en')} rows`,
        value: `${(rebuild / 1000).toFixed(2)} s, ${Math.round(events / (rebuild / 1000)).toLocaleString('en')} events/s`,
        reference: `COPY outbox TO STDOUT: ${(read / 1000).toFixed(2)} s`,
        ratio: read / rebuild,
        goal: `≥ ${GOAL}`,
        met: read / rebuild >= GOAL,
        note:
          `ms by phase, each up to its report: ${Object.entries(phases)
            .map(([phase, ms]) => `${phase} ${Math.round(ms)}`)
            .join(', ')}; ` + `peak memory ${Math.round(peakBytes / 2 ** 20)} MiB`,
      },
      {
        bench: 'rebuild',
        measure: 'the same rows copied from finished tables into new ones, with their indexes',
        value: `${(load / 1000).toFixed(2)} s`,
        reference: `the rebuild: ${(rebuild / 1000).toFixed(2)} s`,
        ratio: load / rebuild,
        goal: '',
        met: true,
        note: `COPY outbox TO STDOUT against it: ${(read / load).toFixed(2)}`,
      },
    ];
  } finally {
    await pool.end();
    await server.stop();
  }
}

async function readLog(pool: pg.Pool): Promise<void> {
  const client = await pool.connect();
  try {
    const discard = new Writable({
      write: (_chunk, _encoding, done) => {
        done();
      },
    });
    await pipeline(client.query(copyTo('COPY outbox TO STDOUT')), discard);
  } finally {
    client.release();
  }
}

/**
 * What the tables themselves cost: every row of the read models is there already and only copied within the database, each table in
 * the transaction that makes it, then its indexes and statistics; two tables at a time. A rebuild cannot be faster than that.
 */
async function loadBare(pool: pg.Pool): Promise<void> {
  await pool.query('CREATE SCHEMA bare');
  const queue = ALL_PROJECTIONS.flatMap(({ tables }) => tables);
  const work = async (): Promise<void> => {
    const client = await pool.connect();
    try {
      await client.query(`SET synchronous_commit = off; SET maintenance_work_mem = '256MB'; SET jit = off`);
      for (let table = queue.shift(); table !== undefined; table = queue.shift()) {
        await client.query('BEGIN');
        await client.query(createTableSql('bare', table));
        await client.query(`INSERT INTO bare."${table.name}" SELECT * FROM read_bench."${table.name}"`);
        for (const sql of createIndexesSql('bare', table)) await client.query(sql);
        await client.query(`ANALYZE bare."${table.name}"`);
        await client.query('COMMIT');
      }
    } finally {
      client.release(true);
    }
  };
  await Promise.all([work(), work()]);
  await pool.query('DROP SCHEMA bare CASCADE');
}

async function rowsWritten(pool: pg.Pool): Promise<number> {
  let rows = 0;
  for (const { name } of ALL_PROJECTIONS.flatMap(({ tables }) => tables)) {
    const result = await pool.query<{ n: bigint }>(`SELECT count(*) AS n FROM read_bench."${name}"`);
    rows += Number(result.rows[0]?.n ?? 0n);
  }
  return rows;
}

async function timed(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? NaN;
}
