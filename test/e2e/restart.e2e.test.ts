import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, chmodSync, existsSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLedgerClient } from '../support/ledger-client.js';
import { LedgerStartError, runTallystick, startLedgerProcess, type LedgerProcess } from '../support/ledger-process.js';

let dataDir: string;
let ledger: LedgerProcess | undefined;
/** Of the last command: reads wait for it. */
let position = '0';

beforeEach(() => {
  position = '0';
  dataDir = mkdtempSync(join(tmpdir(), 'tallystick-restart-'));
  chmodSync(dataDir, 0o755);
});

afterEach(async () => {
  await ledger?.kill();
  ledger = undefined;
  // A killed ledger leaves its server behind: whoever finds it, owns it, and stops it at the end.
  if (existsSync(join(dataDir, 'postgres', 'postmaster.pid'))) await runTallystick(['migrate'], environment());
  rmSync(dataDir, { recursive: true, force: true });
});

function environment(): Record<string, string> {
  return { DATA_DIR: dataDir };
}

async function start(): Promise<LedgerProcess> {
  ledger = await startLedgerProcess(environment());
  return ledger;
}

function postgresPid(): number {
  return Number(readFileSync(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0]);
}

async function openAccount(running: LedgerProcess, accountId: string): Promise<void> {
  const answer = await createLedgerClient(running.url).post('/v1/accounts', { accountId }, `open-${accountId}`);
  expect(answer).toMatchObject({ status: 201, body: { accountId } });
  position = String(answer.body['position']);
}

async function accountIds(running: LedgerProcess): Promise<string[]> {
  const ids: string[] = [];
  for (const id of ['alice', 'bob', 'carol']) {
    const answer = await createLedgerClient(running.url).get(`/v1/accounts/${id}`, { 'ledger-min-position': position });
    if (answer.status === 200) ids.push(id);
  }
  return ids;
}

describe('a ledger on its embedded database', () => {
  it('stops cleanly at Ctrl-C within seconds, and the next start finds everything as it was', async () => {
    const first = await start();
    await openAccount(first, 'alice');
    const pid = postgresPid();
    expect(await first.stop()).toBe(0);
    expect(() => process.kill(pid, 0)).toThrow();
    const second = await start();
    expect(await accountIds(second)).toEqual(['alice']);
    expect(await second.stop()).toBe(0);
    const verified = await runTallystick(['verify', '--json'], environment());
    expect(verified.code, verified.stdout + verified.stderr).toBe(0);
  });

  it('takes over the PostgreSQL that a killed process left running', async () => {
    const first = await start();
    await openAccount(first, 'alice');
    const pid = postgresPid();
    await first.kill();
    expect(process.kill(pid, 0)).toBe(true);
    const second = await start();
    expect(postgresPid()).toBe(pid);
    await openAccount(second, 'bob');
    expect(await accountIds(second)).toEqual(['alice', 'bob']);
    expect(await second.stop()).toBe(0);
    expect(() => process.kill(pid, 0)).toThrow();
  });

  it('ends when PostgreSQL itself is killed, and starts again with every acknowledged command', async () => {
    const first = await start();
    await openAccount(first, 'alice');
    process.kill(postgresPid(), 'SIGKILL');
    expect(await first.exited).toBe(1);
    const second = await start();
    expect(await accountIds(second)).toEqual(['alice']);
    await openAccount(second, 'bob');
    expect(await second.stop()).toBe(0);
    const verified = await runTallystick(['verify', '--json'], environment());
    expect(verified.code, verified.stdout + verified.stderr).toBe(0);
  });

  it('refuses a second process on the same folder with one line, and the first is not disturbed', async () => {
    const first = await start();
    const second = startLedgerProcess(environment());
    await expect(second).rejects.toThrow(LedgerStartError);
    await expect(second).rejects.toThrow(/tallystick: DATA_DIR: .* is in use by another tallystick process/);
    await openAccount(first, 'carol');
    expect(await accountIds(first)).toEqual(['carol']);
  });

  it('started twice for the first time in the same moment serves once, and the other start says why it does not', async () => {
    const starts = await Promise.allSettled([startLedgerProcess(environment()), startLedgerProcess(environment())]);
    const [served, ...others] = starts.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    ledger = served;
    const refused = starts.flatMap((result) => (result.status === 'rejected' ? [String(result.reason)] : []));
    expect(others).toEqual([]);
    expect(refused).toEqual([
      expect.stringMatching(/tallystick: DATA_DIR: .* is in use by another tallystick process/),
    ]);
    if (served === undefined) throw new Error('nobody serves');
    await openAccount(served, 'alice');
    expect(await served.stop()).toBe(0);
    const again = await start();
    expect(await accountIds(again)).toEqual(['alice']);
  });

  it('exports the log to a reader that stops after the first line', async () => {
    await start();
    const ran = spawnSync(
      'bash',
      ['-c', '"$0" bin/tallystick.js events export | head -n 1; echo "${PIPESTATUS[0]}"', process.execPath],
      {
        cwd: join(import.meta.dirname, '..', '..'),
        env: { ...process.env, ...environment() },
        encoding: 'utf8',
      },
    );
    const [first = '', code] = ran.stdout.trim().split('\n');
    expect(JSON.parse(first)).toMatchObject({ position: '1', type: 'ChainOpened' });
    expect({ code, stderr: ran.stderr }).toEqual({ code: '0', stderr: '' });
  });

  it('verifies and rebuilds beside the running ledger', async () => {
    const running = await start();
    await openAccount(running, 'alice');
    const verified = await runTallystick(['verify'], environment());
    expect(verified).toMatchObject({ code: 0 });
    expect(verified.stdout).toMatch(/^the log, \d+ tables and the books agree at position \d+\n$/);
    const rebuilt = await runTallystick(['rebuild', 'accounts', '--json'], environment());
    expect(rebuilt.code, rebuilt.stderr).toBe(0);
    await openAccount(running, 'bob');
    expect(await accountIds(running)).toEqual(['alice', 'bob']);
  });
});

describe('a wrong start', () => {
  it('on a port that is in use stops with one line that names it, and leaves no PostgreSQL behind', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = other.address() as AddressInfo;
      const result = await runTallystick(['start'], { ...environment(), PORT: String(port) });
      expect(result.code).toBe(1);
      const lines = result.stderr.trim().split('\n');
      expect(lines.filter((text) => !text.startsWith('{'))).toEqual([
        `tallystick: PORT: 127.0.0.1:${port} is in use by another program: stop it, or choose another port`,
      ]);
      expect(result.stderr).not.toContain('a database connection was lost');
      expect(existsSync(join(dataDir, 'postgres', 'postmaster.pid'))).toBe(false);
    } finally {
      await new Promise((resolve) => other.close(resolve));
    }
  });

  it.each([
    [{ PORT: 'abc' }, 2, /^tallystick: PORT: /m],
    [{ BITCOIN_NETWORK: 'moonnet' }, 2, /^tallystick: BITCOIN_NETWORK: /m],
    [{ DATABASE_URL: 'postgres://nobody:secret@127.0.0.1:1/none' }, 1, /^tallystick: .*$/m],
  ])('%o stops with one line that names it and holds no password', async (env, code, line) => {
    const result = await runTallystick(['start'], { ...environment(), ...env });
    expect(result.code).toBe(code);
    expect(result.stderr).toMatch(line);
    expect(result.stderr).not.toContain('secret');
    expect(
      result.stderr
        .trim()
        .split('\n')
        .filter((text) => !text.startsWith('{')),
    ).toHaveLength(1);
  });
});

describe('a command that is wrong', () => {
  it('says what, and exits as wrong usage does', async () => {
    const wrong: [string, RegExp][] = [
      ['unheard-of', /unknown command 'unheard-of'/],
      ['verify --unheard-of', /unknown option '--unheard-of'/],
      ['blocks import', /missing required argument 'file'/],
      ['rebuild coins', /no coins: there are blocks, accounts, /],
      ['events export --after x', /--after: 'x' is not a position/],
      ['payouts --limit 0', /--limit must be 1 to 500/],
    ];
    await Promise.all(
      wrong.map(async ([command, says]) => {
        const result = await runTallystick(command.split(' '), environment());
        expect(result, command).toMatchObject({ code: 2, stdout: '' });
        expect(result.stderr).toMatch(says);
      }),
    );
  });

  it('names a folder without a ledger, and makes nothing there', async () => {
    const missing = join(dataDir, 'misspelt');
    const stderr = `tallystick: DATA_DIR: there is no ledger in ${missing}: 'tallystick start' makes one\n`;
    await Promise.all(
      ['verify', 'withdrawals', 'rebuild', 'events export'].map(async (command) => {
        const result = await runTallystick(command.split(' '), { DATA_DIR: missing });
        expect(result, command).toEqual({ code: 2, stdout: '', stderr });
      }),
    );
    expect(existsSync(missing)).toBe(false);
  });
});
