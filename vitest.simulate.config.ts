import { defineConfig } from 'vitest/config';

/** The simulator of withdrawals, with seed and steps from the environment: see `scripts/simulate.mjs`. */
export default defineConfig({
  // As Node resolves it: the bundler's choice, its ES modules, would be a second copy beside the one that packages require.
  resolve: { alias: [{ find: /^graphql$/, replacement: 'graphql/index.js' }] },
  test: {
    include: ['test/simulate/long.simulate.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    testTimeout: 3_600_000,
    hookTimeout: 60_000,
    pool: 'forks',
    maxWorkers: 2,
  },
});
