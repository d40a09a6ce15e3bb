import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { openStack, type Stack, type StackOptions } from '../../scripts/stack/stack.mjs';
import { isAlive } from '../../src/platform/postgres/process-of.js';

declare module 'vitest' {
  interface ProvidedContext {
    stackDir: string;
  }
}

const PREFIX = 'tallystick-test-stack-';

/** As tests run it: small, so that a slot can be invalidated within a test; retention looked at often. */
export function testStackOptions(dir: string): StackOptions {
  return {
    dir,
    services: ['postgres', 'kafka', 'connect'],
    quickStart: true,
    postgresSettings: ['max_connections=200', 'fsync=off', 'max_slot_wal_keep_size=64MB'],
  };
}

/** The stack of this test run, whichever process started it. */
export function attachStack(dir: string): Stack {
  return openStack(testStackOptions(dir));
}

/** One stack per test run: PostgreSQL, the broker, Connect with the connector. Leftovers of runs that were killed go first. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  await removeLeftovers();
  const dir = mkdtempSync(join(tmpdir(), PREFIX));
  chmodSync(dir, 0o755);
  writeFileSync(join(dir, 'owner.pid'), String(process.pid));
  const stack = openStack({ ...testStackOptions(dir), onProgress: (line) => process.stdout.write(`${line}\n`) });
  const tearDown = async (): Promise<void> => {
    await stack.down();
    rmSync(dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  };
  try {
    await stack.up();
  } catch (error) {
    await tearDown();
    throw error;
  }
  project.provide('stackDir', dir);
  return tearDown;
}

async function removeLeftovers(): Promise<void> {
  for (const name of readdirSync(tmpdir()).filter((entry) => entry.startsWith(PREFIX))) {
    const dir = join(tmpdir(), name);
    const owner = join(dir, 'owner.pid');
    if (existsSync(owner) && isAlive(Number(readFileSync(owner, 'utf8')))) continue;
    await attachStack(dir).down();
    rmSync(dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }
}
