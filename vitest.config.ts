import { defineConfig } from 'vitest/config';
import { CountReporter } from './test/support/count-reporter.js';

export default defineConfig({
  // As Node resolves it: the bundler's choice, its ES modules, would be a second copy beside the one that packages require.
  resolve: { alias: [{ find: /^graphql$/, replacement: 'graphql/index.js' }] },
  test: {
    include: ['src/**/*.{unit,int}.test.ts', 'test/**/*.{unit,int,e2e}.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    reporters: ['default', new CountReporter()],
    pool: 'forks',
    maxWorkers: 2,
    // Files share a process: reading all modules in anew for each took a sixth of the time. So no test changes what others see there.
    isolate: false,
  },
});
