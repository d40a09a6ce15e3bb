import { defineConfig } from 'vitest/config';
import { CountReporter } from './test/support/count-reporter.js';

/** Tests against the real way from the outbox to Kafka: PostgreSQL, Debezium in Kafka Connect, a broker. One stack for all files. */
export default defineConfig({
  test: {
    include: ['test/real/cdc/**/*.real.test.ts'],
    globalSetup: ['test/support/cdc-stack.ts'],
    testTimeout: 600_000,
    hookTimeout: 300_000,
    reporters: ['verbose', new CountReporter()],
    pool: 'forks',
    // They break the stack that they share.
    fileParallelism: false,
  },
});
