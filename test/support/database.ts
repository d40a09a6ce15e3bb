import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import { inject } from 'vitest';
import { appRole, createPool } from '../../src/platform/postgres/pool.js';

export interface TestDatabase {
  /** As the owner. */
  url: string;
  /** As the application's role. */
  pool: pg.Pool;
  /** As the owner: for tests that tamper. */
  ownerPool: pg.Pool;
  drop(): Promise<void>;
}

/** A fresh database with all migrations, cloned from the template of this test run. Call `drop` in `afterAll`. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const serverUrl = inject('postgresUrl');
  const name = `test_${randomBytes(6).toString('hex')}`;
  await asAdmin(serverUrl, `CREATE DATABASE ${name} TEMPLATE template_tallystick`);
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  const ownerPool = createPool(url.toString(), { max: 4 });
  await ownerPool.query(`DO $$ BEGIN IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'tallystick_app') THEN
    EXECUTE 'GRANT CREATE ON DATABASE ${name} TO tallystick_app'; END IF; END $$`);
  const pool = createPool(url.toString(), { max: 10, role: await appRole(ownerPool) });
  return {
    url: url.toString(),
    pool,
    ownerPool,
    drop: async () => {
      await pool.end();
      await ownerPool.end();
      await asAdmin(serverUrl, `DROP DATABASE ${name} WITH (FORCE)`);
    },
  };
}

async function asAdmin(url: string, sql: string): Promise<void> {
  const admin = createPool(url, { max: 1 });
  try {
    // Cloning needs a template that nobody is connected to; several test files start at once.
    await admin.query(`SELECT pg_advisory_lock(7463)`);
    await admin.query(sql);
  } finally {
    await admin.end();
  }
}
