import { defineConfig } from 'vitest/config';
import { CountReporter } from './test/support/count-reporter.js';

/** Tests against real parts: a Bitcoin node, Bitcoin Core's validation engine, a browser, real blocks. */
export default defineConfig({
  // As Node resolves it: the bundler's choice, its ES modules, would be a second copy beside the one that packages require.
  resolve: { alias: [{ find: /^graphql$/, replacement: 'graphql/index.js' }] },
  test: {
    include: ['test/real/**/*.real.test.ts'],
    // With a stack of their own: see vitest.cdc.config.ts.
    exclude: ['test/real/cdc/**'],
    globalSetup: ['test/support/global-setup.ts'],
    testTimeout: 300_000,
    hookTimeout: 300_000,
    reporters: ['default', new CountReporter()],
    pool: 'forks',
    maxWorkers: 2,
  },
});
