import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { StackError } from './processes.mjs';

export const ROOT = resolve(fileURLToPath(new URL('../..', import.meta.url)));
export const PARTS = resolve(ROOT, process.env.TALLYSTICK_PARTS ?? '.parts');
/** The configuration that docker-compose and the tests use too. */
export const DEBEZIUM = join(ROOT, 'debezium');

const PART_OF = { kafka: 'cdc', connect: 'cdc', bitcoin: 'btcd' };

/** Installs the parts that these services need, where they are not there. @throws StackError saying what is missing */
export function installParts(services) {
  const parts = [...new Set(services.flatMap((service) => PART_OF[service] ?? []))];
  if (parts.length === 0) return;
  const result = spawnSync(process.execPath, [join(ROOT, 'scripts/parts.mjs'), ...parts], { encoding: 'utf8' });
  if (result.status !== 0) throw new StackError(`${result.stderr}`.trim());
}

export function partFile(path) {
  const file = join(PARTS, path);
  if (!existsSync(file)) throw new StackError(`${file} is not there: npm run parts -- cdc btcd`);
  return file;
}
