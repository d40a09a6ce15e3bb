import { defineConfig } from 'vitest/config';
import { CountReporter } from './test/support/count-reporter.js';

/** The contract of the event store against a real EventStoreDB or KurrentDB: `EVENTSTOREDB_URL=esdb://… npm run test:eventstoredb`. */
export default defineConfig({
  test: {
    include: ['test/eventstoredb/**/*.eventstoredb.test.ts'],
    globalSetup: ['test/support/eventstoredb/require-server.ts', 'test/support/global-setup.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    reporters: ['default', new CountReporter()],
    pool: 'forks',
    maxWorkers: 1,
  },
});
