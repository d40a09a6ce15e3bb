import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/**
 * Path of a file of a real part (a node, a validation engine …), below TALLYSTICK_PARTS or `.parts`.
 *
 * @throws Error naming the command that installs it, when it is not there
 */
export function partPath(part: string, file: string): string {
  const path = resolve(ROOT, process.env['TALLYSTICK_PARTS'] ?? '.parts', file);
  if (!existsSync(path)) {
    throw new Error(
      `This test needs ${part}, and ${path} is not there. Install it with: node scripts/parts.mjs ${part}`,
    );
  }
  return path;
}
