import type { TestProject } from 'vitest/node';
import { createPool } from '../../src/platform/postgres/pool.js';
import { migrate } from '../../src/platform/postgres/migrate.js';
import { startTemporaryPostgres } from './postgres-server.js';

declare module 'vitest' {
  interface ProvidedContext {
    postgresUrl: string;
  }
}

/** One PostgreSQL per test run; every test file clones its own database from a migrated template. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await startTemporaryPostgres();
  const admin = createPool(server.url, { max: 1 });
  await admin.query('CREATE DATABASE template_tallystick');
  await admin.end();
  const template = new URL(server.url);
  template.pathname = '/template_tallystick';
  await migrate(template.toString());
  project.provide('postgresUrl', server.url);
  return () => server.stop();
}
