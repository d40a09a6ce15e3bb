import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createLedgerClient, type Answer } from '../support/ledger-client.js';
import { LedgerStartError, runTallystick, startLedgerProcess, type LedgerProcess } from '../support/ledger-process.js';

/** Kills per kind of work; `TALLYSTICK_KILLS` sets another number. */
const KILLS = Math.max(1, Number(process.env['TALLYSTICK_KILLS'] ?? 2));
/** Printed where the test fails; the moments follow from it, though not what the machine does in them. */
const SEED = Number(process.env['TALLYSTICK_SEED'] ?? Date.now() % 1_000_000);
const CLIENTS = 8;
const LONGEST_WAIT_MS = 1_500;

let dataDir: string;
let ledger: LedgerProcess | undefined;

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'tallystick-pgkill-'));
  chmodSync(dataDir, 0o755);
});

afterEach(async () => {
  await ledger?.kill();
  ledger = undefined;
  // Whoever finds the server that a killed ledger left behind, owns it, and stops it at the end.
  if (existsSync(join(dataDir, 'postgres', 'postmaster.pid'))) await runTallystick(['migrate'], environment());
  rmSync(dataDir, { recursive: true, force: true });
});

function environment(): Record<string, string> {
  return { DATA_DIR: dataDir };
}

/** A rebuild that began in the moment of the kill may have started the server again: it is its owner until it ends. */
async function startAgain(): Promise<LedgerProcess> {
  for (;;) {
    try {
      return await startLedgerProcess(environment());
    } catch (error) {
      if (!(error instanceof LedgerStartError) || !error.output.includes('in use by another tallystick')) throw error;
      await sleep(100);
    }
  }
}

function client() {
  return createLedgerClient(ledger?.url ?? 'http://127.0.0.1:1');
}

/** As a careful client: the same key until there is an answer that is not "try again". */
async function insist(path: string, body: unknown, key: string, isOver: () => boolean): Promise<Answer | undefined> {
  while (!isOver()) {
    try {
      const answer = await client().post(path, body, key);
      if (answer.status < 500 && answer.body['code'] !== 'idempotency-key-in-use') return answer;
    } catch {
      // The ledger is down: whoever killed its database starts it again.
    }
    await sleep(20);
  }
  return undefined;
}

/** SIGKILL to the server; `all` to each of its processes at once, otherwise to the first, which the others outlive for a moment. */
function killPostgres(all: boolean): void {
  const pid = Number(readFileSync(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0]);
  process.kill(all ? -pid : pid, 'SIGKILL');
}

/** Mulberry32. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface ExportedEvent {
  position: string;
  type: string;
  data: { transferId?: string };
}

it(
  'PostgreSQL is killed under appends, blocks, reorgs, projections and rebuilds: what was acknowledged is there once, and verify passes',
  { timeout: 300_000 },
  async () => {
    const random = seeded(SEED);
    ledger = await startLedgerProcess(environment());
    const never = (): boolean => false;
    for (const accountId of ['alice', 'bob']) await insist('/v1/accounts', { accountId }, `open-${accountId}`, never);
    await insist('/v1/wallets', { walletId: 'hot', signer: 'local' }, 'wallet', never);
    const issued = await insist('/v1/wallets/hot/addresses', { accountId: 'alice' }, 'address', never);
    const address = String(issued?.body['address']);
    const pay = { address, amountSats: '100000000' };
    expect(await insist('/dev/chain/pay', pay, 'pay', never)).toMatchObject({ status: 200 });
    await insist('/dev/chain/mine', { blocks: 1 }, 'mine', never);

    let isOver = false;
    const over = (): boolean => isOver;
    const acknowledged = new Map<string, string>();
    const transfers = async (number: number): Promise<void> => {
      for (let i = 0; !isOver; i += 1) {
        const transferId = `t-${number}-${i}`;
        const body = { transferId, fromAccountId: 'alice', toAccountId: 'bob', amountSats: '1' };
        const answer = await insist('/v1/transfers', body, transferId, over);
        if (answer?.status === 201) acknowledged.set(transferId, String(answer.body['position']));
        else if (answer) throw new Error(`transfer: ${answer.status} ${JSON.stringify(answer.body)}`);
      }
    };
    const blocks = async (): Promise<void> => {
      for (let i = 0; !isOver; i += 1) {
        // Alice's deposit is deep enough: no reorg of these reaches it.
        await insist('/dev/chain/pay', { address, amountSats: '1000' }, `pay-${i}`, over);
        await insist('/dev/chain/mine', { blocks: 3 }, `mine-${i}`, over);
        if (i % 3 === 2) await insist('/dev/chain/reorg', { depth: 2, blocks: 3 }, `reorg-${i}`, over);
      }
    };
    let rebuilt = 0;
    const rebuilds = async (): Promise<void> => {
      while (!isOver) {
        if (existsSync(join(dataDir, 'postgres', 'postmaster.pid')) && ledger !== undefined) {
          const { code } = await runTallystick(['rebuild', '--json'], { ...environment(), LOG_LEVEL: 'silent' });
          if (code === 0) rebuilt += 1;
        }
        await sleep(50);
      }
    };

    // First without rebuilds, then with one running nearly all the time.
    let work: Promise<unknown> = Promise.all([...Array.from({ length: CLIENTS }, (_, i) => transfers(i)), blocks()]);
    let failed: unknown;
    const note = (error: unknown): void => {
      failed ??= error;
      isOver = true;
    };
    work.catch(note);
    for (let kill = 0; kill < 2 * KILLS && failed === undefined; kill += 1) {
      if (kill === KILLS) {
        const rebuilding = rebuilds();
        rebuilding.catch(note);
        work = Promise.all([work, rebuilding]);
      }
      const before = acknowledged.size;
      await expect.poll(() => failed ?? acknowledged.size > before + 10, { timeout: 60_000 }).toBe(true);
      await sleep(random() * LONGEST_WAIT_MS);
      const running = ledger;
      ledger = undefined;
      killPostgres(kill % 2 === 0);
      expect(await running.exited, `seed ${SEED}: ${running.output()}`).toBe(1);
      ledger = await startAgain();
    }
    const before = { transfers: acknowledged.size, rebuilt };
    await expect
      .poll(() => failed ?? (acknowledged.size > before.transfers && rebuilt > before.rebuilt), { timeout: 60_000 })
      .toBe(true);
    isOver = true;
    await work;

    expect(await ledger.stop()).toBe(0);
    ledger = undefined;
    const verified = await runTallystick(['verify', '--json'], environment());
    expect(verified, `seed ${SEED}`).toMatchObject({ code: 0 });

    const exported = await runTallystick(['events', 'export'], environment());
    const events = exported.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as ExportedEvent);
    expect(events.map(({ position }) => Number(position))).toEqual(events.map((_, i) => i + 1));
    const sent = events.filter(({ type }) => type === 'TransferSent');
    const positions = new Map(sent.map(({ data, position }) => [data.transferId, position]));
    expect(positions.size, `seed ${SEED}: each transfer once`).toBe(sent.length);
    for (const [transferId, position] of acknowledged) {
      expect(positions.get(transferId), `seed ${SEED}: ${transferId}`).toBe(position);
    }
    expect(events.some(({ type }) => type === 'BlockDisconnected')).toBe(true);
  },
);
