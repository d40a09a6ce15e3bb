/**
 * Makes the file that docker compose reads its settings from: `.env.example` with secrets of its own where it has empty ones. What `.env`
 * says already stays as it is: a database keeps the password that it was made with.
 *
 *   node scripts/compose-env.mjs [folder]
 */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** As long as a key that nobody guesses; hexadecimal, because some stand in URLs. */
const SECRET_BYTES = 24;
const SECRET = /_(PASSWORD|KEY)$/;

const root = resolve(fileURLToPath(new URL('..', import.meta.url)));
const file = join(resolve(process.argv[2] ?? root), '.env');

const valuesOf = (text) =>
  new Map(text.split('\n').flatMap((line) => (/^[A-Z_]+=/.test(line) ? [line.split(/=(.*)/s, 2)] : [])));

const old = existsSync(file) ? readFileSync(file, 'utf8') : undefined;
const kept = valuesOf(old ?? '');
const example = readFileSync(join(root, '.env.example'), 'utf8');

let made = 0;
const fill = (name, value) => {
  const known = kept.get(name) ?? '';
  if (known !== '' || !SECRET.test(name)) return kept.has(name) ? known : value;
  made += 1;
  return randomBytes(SECRET_BYTES).toString('hex');
};

const lines = example.split('\n').map((line) => {
  const match = /^([A-Z_]+)=(.*)$/.exec(line);
  return match ? `${match[1]}=${fill(match[1], match[2])}` : line;
});
// Ports, and whatever else somebody has added.
const more = [...kept].filter(([name]) => !valuesOf(example).has(name)).map(([name, value]) => `${name}=${value}`);
if (more.length > 0) lines.push(...more, '');

writeFileSync(`${file}.new`, lines.join('\n'), { mode: 0o600 });
renameSync(`${file}.new`, file);
process.stdout.write(
  old === undefined
    ? `made ${file} with ${made} secrets\n`
    : `${file}: ${made} secrets added, the others are as they were\n`,
);
