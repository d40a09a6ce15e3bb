import { once } from 'node:events';
import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { startWatched } from './watched-process.js';

/** A program that says its own process id and would then run for an hour. */
const PROGRAM = ['-c', 'echo $$; exec sleep 3600'];

async function started() {
  const folder = mkdtempSync(join(tmpdir(), 'tallystick-test-watched-'));
  const watched = startWatched('/bin/sh', PROGRAM, folder);
  const exited = once(watched.child, 'exit');
  await expect.poll(() => watched.output()).toMatch(/^\d+\n/);
  return { watched, folder, exited, pid: Number(watched.output()) };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    // No such process.
    return false;
  }
}

describe('a program that a test has started', () => {
  it('ends when it is stopped, and its folder with it', async () => {
    const { watched, folder, pid } = await started();
    expect(isAlive(pid)).toBe(true);
    await watched.stop();
    expect(isAlive(pid)).toBe(false);
    expect(existsSync(folder)).toBe(false);
  });

  it('ends when the test process dies without a word, and its folder with it', async () => {
    const { watched, folder, exited, pid } = await started();
    // What the death of the test process looks like from the other end of the pipe.
    watched.child.stdin?.destroy();
    await exited;
    expect(isAlive(pid)).toBe(false);
    expect(existsSync(folder)).toBe(false);
  });
});
