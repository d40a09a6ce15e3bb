import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { FatalError } from '../errors.js';
import type { PostgresBinaries } from './binaries.js';
import type { OsUser } from './os-user.js';
import { isAlive } from './process-of.js';

/** Made once, complete from the first moment at which anybody can see it: two first starts at once have the same one. */
export function readOrMakePassword(dataDir: string): string {
  const file = join(dataDir, 'postgres.password');
  if (!existsSync(file)) {
    const draft = `${file}.${process.pid}`;
    writeFileSync(draft, randomBytes(24).toString('hex'), { mode: 0o600 });
    try {
      linkSync(draft, file);
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
    } finally {
      rmSync(draft, { force: true });
    }
  }
  return readFileSync(file, 'utf8').trim();
}

export interface NewCluster {
  cluster: string;
  /** Superuser of the cluster, and its password. */
  user: string;
  password: string;
  binaries: PostgresBinaries;
  runAs: OsUser | undefined;
}

/**
 * Makes a cluster beside its place, and moves it there whole; where another process was faster, its cluster stays.
 *
 * @throws FatalError where initdb fails, or something else is in the place: it is left alone
 */
export function makeCluster({ cluster, user, password, binaries, runAs }: NewCluster): void {
  removeLeftovers(cluster);
  const building = `${cluster}.new-${process.pid}`;
  rmSync(building, { recursive: true, force: true });
  mkdirSync(building, { mode: 0o700 });
  if (runAs) chownSync(building, runAs.uid, runAs.gid);
  const passwordFile = join(building, '..', `${user}-initdb-${process.pid}`);
  writeFileSync(passwordFile, password, { mode: 0o600 });
  try {
    if (runAs) chownSync(passwordFile, runAs.uid, runAs.gid);
    const made = spawnSync(
      binaries.initdb,
      [
        `--pgdata=${building}`,
        `--username=${user}`,
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        '--locale=C',
        '--data-checksums',
      ],
      { encoding: 'utf8', cwd: '/', ...runAs },
    );
    if (made.status !== 0) {
      throw new FatalError(`initdb failed: ${made.error?.message ?? made.stderr.trim()}`, { cluster });
    }
  } finally {
    rmSync(passwordFile, { force: true });
  }
  try {
    // PG_VERSION appears with everything else in place, and only where nothing is: rename(2) replaces an empty folder alone.
    renameSync(building, cluster);
  } catch (error) {
    rmSync(building, { recursive: true, force: true });
    if (codeOf(error) === 'ENOTEMPTY' || codeOf(error) === 'EEXIST') {
      if (existsSync(join(cluster, 'PG_VERSION'))) return;
      throw new FatalError(`DATA_DIR: ${cluster} holds something that is no PostgreSQL cluster: move it away`);
    }
    throw error;
  }
}

/** What processes left behind that were killed while they made a cluster. */
function removeLeftovers(cluster: string): void {
  const beginning = `${basename(cluster)}.new-`;
  for (const name of readdirSync(dirname(cluster))) {
    if (!name.startsWith(beginning) || isAlive(Number(name.slice(beginning.length)))) continue;
    rmSync(join(dirname(cluster), name), { recursive: true, force: true });
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}
