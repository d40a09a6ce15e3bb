// Runs the simulator of withdrawals: `npm run simulate -- --seed N --steps N --seeds N`. Without a seed it takes one from the clock, and
// prints it; a seed that failed fails again. `--seeds` runs so many, one after the other, from the first on.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    steps: { type: 'string', default: '300' },
    seeds: { type: 'string', default: '1' },
  },
});
const seed = values.seed ?? String(Math.floor(Date.now() / 1000) % 1_000_000);
for (const [name, value] of Object.entries({ seed, steps: values.steps, seeds: values.seeds })) {
  if (!/^[1-9][0-9]{0,8}$/.test(value)) {
    console.error(`--${name} is a whole number from 1 on, not '${value}'`);
    process.exit(2);
  }
}
console.log(`simulating from seed ${seed}: ${values.seeds} of ${values.steps} steps each`);
const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const require = createRequire(import.meta.url);
const vitest = join(dirname(require.resolve('vitest/package.json')), 'vitest.mjs');
const run = spawnSync(process.execPath, [vitest, 'run', '--config', 'vitest.simulate.config.ts'], {
  stdio: 'inherit',
  cwd: root,
  env: { ...process.env, SIMULATE_SEED: seed, SIMULATE_STEPS: values.steps, SIMULATE_SEEDS: values.seeds },
});
process.exit(run.status ?? 1);
