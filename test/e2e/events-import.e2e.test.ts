import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { startStandIn } from '../support/eventstoredb/stand-in.js';
import { tellLog } from '../support/ledger-log.js';
import { accountOpened } from '../support/small-histories.js';

const ROOT = join(import.meta.dirname, '..', '..');
const BIN = join(ROOT, 'bin', 'tallystick.js');
const EVENTS = 2500;

describe('tallystick events import', () => {
  const cleanUps: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const clean of cleanUps.splice(0).reverse()) await clean();
  });

  async function newDatabase(): Promise<TestDatabase> {
    const database = await createTestDatabase();
    cleanUps.push(() => database.drop());
    return database;
  }

  /** Asynchronous: the stand-in lives in this process. */
  async function run(
    args: readonly string[],
    env: Record<string, string>,
  ): Promise<{ code: number; out: string; err: string }> {
    const child = spawn(process.execPath, [BIN, ...args], { cwd: ROOT, env: { ...process.env, ...env } });
    let [out, err] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number];
    return { code, out, err };
  }

  it.each(['postgres', 'eventstoredb'])(
    'brings an exported log into %s, and goes on where it was killed',
    async (kind) => {
      const source = await newDatabase();
      const accounts = Array.from({ length: EVENTS }, (_, n) => accountOpened(`account-${n}`)).flat();
      await tellLog(source.ownerPool, 'main', accounts);
      const folder = mkdtempSync(join(tmpdir(), 'tallystick-import-'));
      cleanUps.push(() => Promise.resolve(rmSync(folder, { recursive: true })));
      const exported = await run(['events', 'export'], { DATABASE_URL: source.url });
      expect(exported).toMatchObject({ code: 0, err: '' });
      const lines = exported.out.trim().split('\n');
      expect(lines).toHaveLength(EVENTS);
      const file = join(folder, 'log.jsonl');
      writeFileSync(file, exported.out);

      const target = await newDatabase();
      const env: Record<string, string> = { DATABASE_URL: target.url, EVENT_STORE: kind };
      if (kind === 'eventstoredb') {
        const server = await startStandIn();
        cleanUps.push(() => server.stop());
        env['EVENTSTOREDB_URL'] = server.url;
      }
      const head = async (): Promise<bigint> => {
        const sql = `SELECT coalesce(max(position), 0) AS head FROM outbox`;
        return (await target.pool.query<{ head: bigint }>(sql)).rows[0]?.head ?? 0n;
      };
      const killed = spawn(process.execPath, [BIN, 'events', 'import', '-'], {
        cwd: ROOT,
        env: { ...process.env, ...env },
      });
      // It reads on, and is killed in the middle: what it wrote stays.
      killed.stdin.on('error', () => undefined);
      killed.stdin.write(`${lines.slice(0, 1700).join('\n')}\n`);
      await expect.poll(head, { timeout: 120_000 }).toBeGreaterThanOrEqual(500n);
      const ended = once(killed, 'exit');
      killed.kill('SIGKILL');
      await ended;
      expect(await head()).toBeLessThan(BigInt(EVENTS));

      const resumed = await run(['events', 'import', file, '--json'], env);
      expect(resumed.code).toBe(0);
      const summary = JSON.parse(resumed.out.trim().split('\n').at(-1) ?? '') as { position: string; skipped: number };
      expect(summary.position).toBe(String(EVENTS));
      expect(summary.skipped).toBeGreaterThanOrEqual(500);
      expect((await run(['events', 'export'], { DATABASE_URL: target.url })).out).toBe(exported.out);
    },
    // Six starts of a program.
    300_000,
  );

  it('says what is wrong in one line', async () => {
    const { url, ownerPool } = await newDatabase();
    await tellLog(ownerPool, 'main', [accountOpened('a')].flat());
    const answer = (args: readonly string[], input = ''): { status: number | null; stderr: string } => {
      const { status, stderr } = spawnSync(process.execPath, [BIN, 'events', 'import', ...args], {
        cwd: ROOT,
        env: { ...process.env, DATABASE_URL: url },
        encoding: 'utf8',
        input,
      });
      return { status, stderr };
    };
    expect(answer(['/nowhere/log.jsonl'])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('cannot be read') as string,
    });
    expect(answer(['-'], 'no log\n')).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^tallystick: line 1 is not one of an exported log: .*\n$/) as string,
    });
    expect(answer(['-'])).toMatchObject({ status: 1, stderr: expect.stringContaining('is not empty') as string });
  }, 300_000);
});
