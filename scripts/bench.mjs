// Runs the benches: `npm run bench`, `npm run bench -- --quick`, `npm run bench -- append rebuild`.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
// What runs in processes of its own is the program as it is built.
const built = spawnSync(process.execPath, [join(root, 'scripts', 'build.mjs'), '--if-needed'], { stdio: 'inherit' });
if (built.status !== 0) process.exit(built.status ?? 1);
const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
const compiled = spawnSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.bench.json')], {
  stdio: 'inherit',
  cwd: root,
});
if (compiled.status !== 0) process.exit(compiled.status ?? 1);
const source = join(root, 'src');
for (const name of readdirSync(source, { recursive: true })) {
  if (statSync(join(source, name)).isFile() && !name.endsWith('.ts')) {
    const copy = join(root, 'dist', 'bench', 'src', name);
    mkdirSync(dirname(copy), { recursive: true });
    cpSync(join(source, name), copy);
  }
}
// The version is read from beside src/.
cpSync(join(root, 'package.json'), join(root, 'dist', 'bench', 'package.json'));
const main = join(root, 'dist', 'bench', 'bench', 'main.js');
// As `npm start` runs the ledger.
const flags = ['--expose-gc', '--max-semi-space-size=64'];
const run = spawnSync(process.execPath, [...flags, main, ...process.argv.slice(2)], {
  stdio: 'inherit',
  cwd: root,
});
process.exit(run.status ?? 1);
