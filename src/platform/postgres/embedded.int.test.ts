import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync, readFileSync, existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startEmbeddedPostgres, type EmbeddedPostgres } from './embedded.js';

let dataDir: string;
let running: EmbeddedPostgres[];

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'tallystick-embedded-'));
  chmodSync(dataDir, 0o755);
  running = [];
});

afterEach(async () => {
  for (const server of running) await server.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

async function start(dir = dataDir): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({ dataDir: dir });
  running.push(server);
  return server;
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows as unknown[];
  } finally {
    await client.end();
  }
}

describe('embedded PostgreSQL', () => {
  it('keeps its data over a clean stop', async () => {
    const first = await start();
    await query(first.url, 'CREATE TABLE kept AS SELECT 42 AS answer');
    await first.stop();
    const second = await start();
    expect(second.tookOver).toBe(false);
    expect(await query(second.url, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }]);
  });

  it('takes over the server that a dead process left behind', async () => {
    const left = await start();
    const again = await start();
    expect(again).toMatchObject({ tookOver: true, pid: left.pid });
    await again.stop();
    await expect(query(left.url, 'SELECT 1')).rejects.toThrow();
  });

  it('starts after the server itself was killed', async () => {
    const killed = await start();
    await query(killed.url, 'CREATE TABLE kept AS SELECT 1 AS a');
    process.kill(killed.pid, 'SIGKILL');
    const again = await start();
    expect(again.tookOver).toBe(false);
    expect(await query(again.url, 'SELECT a FROM kept')).toHaveLength(1);
  });

  it('leaves a server alone that is not its own, though the pid file names it', async () => {
    const otherDir = mkdtempSync(join(tmpdir(), 'tallystick-other-'));
    chmodSync(otherDir, 0o755);
    try {
      const other = await start(otherDir);
      const ours = await start();
      await ours.stop();
      const cluster = join(dataDir, 'postgres');
      const foreignPidFile = readFileSync(join(otherDir, 'postgres', 'postmaster.pid'), 'utf8');
      writeFileSync(join(cluster, 'postmaster.pid'), foreignPidFile);
      const again = await start();
      expect(again).toMatchObject({ tookOver: false });
      expect(again.pid).not.toBe(other.pid);
      expect(await query(other.url, 'SELECT 1 AS up')).toEqual([{ up: 1 }]);
    } finally {
      for (const server of running.splice(0)) await server.stop();
      rmSync(otherDir, { recursive: true, force: true });
    }
  });

  it('begins anew where initdb was killed half-way, and removes what that left', async () => {
    // A number that no process has: above the largest pid of Linux.
    const left = join(dataDir, 'postgres.new-4194305');
    mkdirSync(left);
    const server = await start();
    expect(await query(server.url, 'SELECT 1 AS up')).toEqual([{ up: 1 }]);
    expect(existsSync(left)).toBe(false);
  });

  it('leaves alone what is no cluster, and names it', async () => {
    const first = await start();
    await first.stop();
    rmSync(join(dataDir, 'postgres', 'PG_VERSION'));
    await expect(start()).rejects.toThrow(
      `DATA_DIR: ${join(dataDir, 'postgres')} holds something that is no PostgreSQL`,
    );
    expect(existsSync(join(dataDir, 'postgres', 'base'))).toBe(true);
  });
});
