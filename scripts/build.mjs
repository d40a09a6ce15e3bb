// Compiles src/ to dist/, copies what is not TypeScript, and bundles the program that bin/ runs. With --if-needed: only when something
// is newer than the last build.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const source = join(root, 'src');
const target = join(root, 'dist');
const stamp = join(target, '.built');

const files = (folder) =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? files(join(folder, entry.name)) : [join(folder, entry.name)],
  );
const isTest = (file) => /\.test\.ts$/.test(file);
const sources = files(source).filter((file) => !isTest(file));
// The list catches files that were removed, the times those that were changed.
const list = sources
  .map((file) => relative(source, file))
  .sort()
  .join('\n');
const configuration = [
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'tsconfig.build.json',
  'scripts/bundle.mjs',
];
const inputs = [...sources, ...configuration.map((file) => join(root, file))];

function isCurrent() {
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== list) return false;
  const built = statSync(stamp).mtimeMs;
  return inputs.every((file) => statSync(file).mtimeMs <= built);
}

if (process.argv.includes('--if-needed') && isCurrent()) process.exit(0);

const started = new Date();
const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
const compiled = spawnSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.build.json')], {
  stdio: 'inherit',
  cwd: root,
});
if (compiled.status !== 0) process.exit(compiled.status ?? 1);
for (const file of sources.filter((name) => !name.endsWith('.ts'))) {
  const copy = join(target, relative(source, file));
  mkdirSync(dirname(copy), { recursive: true });
  cpSync(file, copy);
}
const { bundle } = await import('./bundle.mjs');
await bundle(join(target, 'cli', 'main.js'), join(target, 'bundle'));
writeFileSync(stamp, list);
// Files changed while the compiler ran must count as newer.
const { utimesSync } = await import('node:fs');
utimesSync(stamp, started, started);
