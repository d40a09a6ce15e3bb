import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTemporaryPostgres } from '../../test/support/postgres-server.js';
import { createMetrics } from '../platform/metrics.js';
import { createPool } from '../platform/postgres/pool.js';
import { observeSlot } from './observe-cdc.js';

let server: Awaited<ReturnType<typeof startTemporaryPostgres>>;
let pool: pg.Pool;

beforeAll(async () => {
  server = await startTemporaryPostgres([
    'fsync=off',
    'wal_level=logical',
    'max_wal_senders=2',
    'max_slot_wal_keep_size=1MB',
  ]);
  pool = createPool(server.url, { max: 1 });
});

afterAll(async () => {
  await pool.end();
  await server.stop();
});

async function scrape(): Promise<Record<string, number>> {
  const metrics = createMetrics();
  observeSlot(metrics.ofProcess(), { pool, slot: 'tallystick' });
  const { text } = await metrics.scrape();
  const found = [...text.matchAll(/^tallystick_(slot_.*) (\S+)$/gm)];
  return Object.fromEntries(found.map(([, name, value]): [string, number] => [name ?? '', Number(value)]));
}

const LAG = 'slot_lag_bytes{slot="tallystick"}';
const KEPT = 'slot_kept_bytes{slot="tallystick"}';

describe('metrics of the replication slot', () => {
  it('say that there is none', async () => {
    expect(await scrape()).toEqual({ 'slot_state{slot="tallystick",state="missing"}': 1 });
  });

  it('count the bytes that nobody has read, and say when PostgreSQL has given the slot up', async () => {
    await pool.query("SELECT pg_create_logical_replication_slot('tallystick', 'pgoutput')");
    const before = await scrape();
    expect(before).toMatchObject({ 'slot_state{slot="tallystick",state="idle"}': 1 });
    await pool.query("SELECT pg_logical_emit_message(true, 'test', repeat('x', 200000))");
    const after = await scrape();
    expect((after[LAG] ?? 0) - (before[LAG] ?? 0)).toBeGreaterThanOrEqual(200_000);
    expect(after[KEPT]).toBeGreaterThanOrEqual(after[LAG] ?? Infinity);

    for (let segment = 0; segment < 3; segment += 1) {
      await pool.query("SELECT pg_logical_emit_message(false, 'test', repeat('x', 200000)), pg_switch_wal()");
    }
    await pool.query('CHECKPOINT');
    expect(await scrape()).toMatchObject({ 'slot_state{slot="tallystick",state="lost"}': 1 });
  });
});
