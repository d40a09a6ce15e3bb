import { ConfigError } from '../platform/config.js';
import { PlatformError } from '../platform/errors.js';

/** 0: done. */
export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;

/** What a person can act on is one line; a bug keeps its stack, because somebody will have to find it. */
export function exitWithError(error: unknown): never {
  const known = error instanceof PlatformError;
  const text = known ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`tallystick: ${text}\n`);
  process.exit(error instanceof ConfigError ? EXIT_USAGE : EXIT_FAILED);
}
