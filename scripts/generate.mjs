// Writes the files that are made from the code: a JSON Schema per event, openapi.json, schema.graphql.
// With --check: writes nothing, and fails where a committed file differs.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { generateContracts } from '../dist/app/generate-contracts.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const folder = join(root, 'generated');
const check = process.argv.includes('--check');
const wanted = new Map((await generateContracts()).map(({ path, content }) => [join(folder, path), content]));

const existing = (dir) =>
  existsSync(dir)
    ? readdirSync(dir, { withFileTypes: true }).flatMap((entry) =>
        entry.isDirectory() ? existing(join(dir, entry.name)) : [join(dir, entry.name)],
      )
    : [];

const stale = [];
for (const file of existing(folder)) {
  if (wanted.has(file)) continue;
  stale.push(file);
  if (!check) rmSync(file);
}
for (const [file, content] of wanted) {
  if (existsSync(file) && readFileSync(file, 'utf8') === content) continue;
  stale.push(file);
  if (check) continue;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
}
for (const file of stale) console.log(`${check ? 'not up to date' : 'written'}: ${relative(root, file)}`);
if (check && stale.length > 0) {
  console.error('run `npm run generate` and commit the result');
  process.exit(1);
}
