import { execFileSync } from 'node:child_process';
import { FatalError } from '../errors.js';

export interface OsUser {
  uid: number;
  gid: number;
}

const OS_USER = 'postgres';

/**
 * The OS user that PostgreSQL runs as: undefined for ourselves. PostgreSQL refuses to run as root, so root (a container,
 * usually) lends it the user `postgres`, made if it is not there.
 *
 * @throws FatalError where root cannot make the user
 */
export function postgresOsUser(): OsUser | undefined {
  if (process.platform === 'win32' || process.getuid?.() !== 0) return undefined;
  const existing = lookUp();
  if (existing) return existing;
  try {
    execFileSync('useradd', ['--system', '--user-group', '--no-create-home', '--shell', '/bin/false', OS_USER], {
      stdio: 'pipe',
    });
  } catch (cause) {
    throw new FatalError(
      `PostgreSQL does not run as root, and the user '${OS_USER}' could not be made: run as an ordinary user, or set DATABASE_URL`,
      {},
      { cause },
    );
  }
  const made = lookUp();
  if (!made) throw new FatalError(`the user '${OS_USER}' was made but cannot be found`);
  return made;
}

function lookUp(): OsUser | undefined {
  const id = (flag: string): number =>
    Number(execFileSync('id', [flag, OS_USER], { stdio: 'pipe', encoding: 'utf8' }).trim());
  try {
    return { uid: id('-u'), gid: id('-g') };
  } catch {
    // `id` fails for a user that does not exist: that is the answer.
    return undefined;
  }
}
