import { randomUUID } from 'node:crypto';
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FatalError } from '../../platform/errors.js';

export interface DirectoryLock {
  /** Throws when another process has taken the directory over. Called before every write. */
  assertHeld(): void;
  release(): void;
}

const LOCK_NAME = 'lock';
/** Two processes that both find a dead one's lock settle it in one round; more rounds mean that something is odd. */
const MAX_ATTEMPTS = 10;

/**
 * Makes sure that one process at a time uses a directory. The lock is a file that names its process; that of a process
 * that is gone is taken over. Node has no `flock`, and in theory two processes that take over at the same instant
 * could both believe to hold it: the holder looks again before every write, so that only one ever writes.
 *
 * @throws FatalError when the directory is in use
 */
export function lockDirectory(directory: string): DirectoryLock {
  const path = join(directory, LOCK_NAME);
  const own = `${process.pid} ${startOf(process.pid)} ${randomUUID()}\n`;
  const draft = join(directory, `${LOCK_NAME}.${randomUUID()}`);
  // Linked in place complete: nobody can see a lock without its content.
  writeFileSync(draft, own, { mode: 0o600 });
  try {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      if (linkIfFree(draft, path))
        return { assertHeld: () => assertHeld(path, own), release: () => release(path, own) };
      const holder = readIfThere(path);
      if (holder === undefined) continue;
      if (isAlive(holder)) {
        throw new FatalError(`The chain directory ${directory} is in use by process ${holder.split(' ')[0]}.`, {
          directory,
        });
      }
      removeLeftover(path, holder);
    }
    throw new FatalError(`The lock of the chain directory ${directory} could not be taken.`, { directory });
  } finally {
    rmSync(draft, { force: true });
  }
}

function linkIfFree(draft: string, path: string): boolean {
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Moves the dead process's lock aside before it is deleted, and puts it back if it turns out to be a live one's. */
function removeLeftover(path: string, expected: string): void {
  const aside = `${path}.${randomUUID()}`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  if (readFileSync(aside, 'utf8') !== expected) linkIfFree(aside, path);
  rmSync(aside, { force: true });
}

function isAlive(holder: string): boolean {
  const [pidText = '', start = ''] = holder.split(' ');
  const pid = Number(pidText);
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: there is such a process, of another user.
    if (codeOf(error) === 'ESRCH') return false;
  }
  return startOf(pid) === start;
}

/**
 * When a process started, so that a new one with an old one's id is not taken for it (in a container every first process
 * has id 1). Where the system does not say, ids alone must do.
 */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // Field 22; the second field, the name, may hold spaces and ends at the last bracket (proc(5)).
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? 'unknown';
  } catch {
    // No /proc here, or no such process.
    return 'unknown';
  }
}

function assertHeld(path: string, own: string): void {
  if (readIfThere(path) !== own) throw new FatalError('Another process has taken over the chain directory.', { path });
}

function release(path: string, own: string): void {
  if (readIfThere(path) === own) rmSync(path, { force: true });
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
}
