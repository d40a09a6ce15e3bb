import { randomInt } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Dice } from '../simulate/dice.js';
import { countOnTheChain } from '../support/count-on-the-chain.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { createIndependentSigner } from '../support/independent-signer.js';
import { insist } from '../support/journey.js';
import { createLedgerClient, type Answer, type LedgerClient } from '../support/ledger-client.js';
import { runTallystick, startLedgerProcess, type LedgerProcess } from '../support/ledger-process.js';
import { startLyingHttpSigner, type LyingHttpSigner } from '../support/lying-http-signer.js';
import { createTestWallet } from '../support/regtest-wallet.js';
import { readWithdrawal } from '../support/seen-withdrawal.js';

/** Choices are made of it; when they come is up to the machine. */
const SEED = Number(process.env['TALLYSTICK_SEED'] ?? randomInt(2 ** 31));
/** Each asks for some withdrawals from a hundred clients, and ends with a kill. */
const ROUNDS = Number(process.env['TALLYSTICK_ROUNDS'] ?? 1);
const TIMEOUT_MS = 120_000 + 60_000 * ROUNDS;
const WAIT_MS = 60_000;
const CLIENTS = 100;
const FINALITY_DEPTH = 3;
/** Shallower than finality: what is deeper is an alarm, not a payment's business. */
const MAX_REORG = 2;
const COIN_SATS = 2_000_000n;
const COINS = 6;

const recipients = createTestWallet(96);
let database: TestDatabase;
let dataDir: string;
let ledger: LedgerProcess;
let signer: LyingHttpSigner;
let isOver: boolean;
let addressesUsed: number;
let keysUsed: number;
/** Addresses of withdrawals that their clients were told are cancelled. */
let takenBack: string[];
/** What a client remembers: all that it asked for and was not told that it is cancelled. */
let asked: Map<string, { address: string; amountSats: bigint }>;

beforeEach(async () => {
  database = await createTestDatabase();
  dataDir = mkdtempSync(join(tmpdir(), 'tallystick-paid-once-'));
  isOver = false;
  addressesUsed = 0;
  keysUsed = 0;
  asked = new Map();
  takenBack = [];
});

afterEach(async () => {
  isOver = true;
  await ledger?.kill();
  await signer?.close();
  await database.drop();
  rmSync(dataDir, { recursive: true, force: true });
});

const newAddress = (): string => recipients.addressOf('p2wpkh', ++addressesUsed);
const newKey = (): string => `key ${++keysUsed}`;
/** Whoever answers at the moment. */
const client = (): LedgerClient => createLedgerClient(ledger.url);
const post = (path: string, body: object, key: string): Promise<Answer> => insist(() => client().post(path, body, key));
/** Once: the ledger may be dead at the moment, and then it is nobody's loss. */
const tryTo = (attempt: () => Promise<Answer>): Promise<Answer | undefined> => attempt().catch(() => undefined);

function environment(): Record<string, string> {
  return {
    DATABASE_URL: database.url,
    DATA_DIR: dataDir,
    FINALITY_DEPTH: String(FINALITY_DEPTH),
    PAYOUT_WINDOW_MS: '50',
    SIGNER_URL: signer.url,
    SIGNER_SECRET: 'a secret that both sides have',
    SIGNER_TIMEOUT_MS: '1000',
  };
}

async function fund(walletId: string, wallet: object): Promise<void> {
  await post('/v1/accounts', { accountId: walletId }, newKey());
  expect((await post('/v1/wallets', { walletId, ...wallet }, newKey())).status).toBe(201);
  const issued = await post(`/v1/wallets/${walletId}/addresses`, { accountId: walletId }, newKey());
  for (let coin = 0; coin < COINS; coin += 1) {
    const paid = { address: issued.body['address'], amountSats: COIN_SATS.toString() };
    expect((await client().post('/dev/chain/pay', paid)).status).toBeLessThan(300);
  }
  // Deeper than what is reorganised: the deposits are not what is tried here.
  expect((await client().post('/dev/chain/mine', { blocks: 3 * MAX_REORG })).status).toBe(200);
  const available = async (): Promise<unknown> =>
    (await client().get(`/v1/accounts/${walletId}`)).body['availableSats'];
  await expect.poll(available, { timeout: WAIT_MS }).toBe((BigInt(COINS) * COIN_SATS).toString());
}

function request(walletId: string, dice: Dice, withdrawalId?: string): { address: string; amountSats: string } {
  return {
    ...(withdrawalId === undefined ? {} : { withdrawalId }),
    ...{ accountId: walletId, walletId, confirmationTarget: dice.between(1, 3) },
    ...(dice.chance(0.5) ? { maxFeeSats: '40000' } : {}),
    address: newAddress(),
    amountSats: String(20_000 + dice.between(0, 9_999)),
  };
}

function remember(withdrawalId: string, { address, amountSats }: { address: string; amountSats: string }): void {
  asked.set(withdrawalId, { address, amountSats: BigInt(amountSats) });
}

/** One request with one key from a hundred clients: one withdrawal, and all are told the same. */
async function askWithOneKey(walletId: string, dice: Dice): Promise<void> {
  const body = request(walletId, dice);
  const key = newKey();
  const answers = await Promise.all(Array.from({ length: CLIENTS }, () => post('/v1/withdrawals', body, key)));
  expect(new Set(answers.map(({ status, body: said }) => JSON.stringify([status, said]))).size).toBe(1);
  expect(answers[0]).toMatchObject({ status: 202 });
  remember(String(answers[0]?.body['withdrawalId']), body);
}

/** One withdrawal from a hundred clients with keys of their own: one of them gets it. */
async function askWithOneId(walletId: string, dice: Dice, withdrawalId: string): Promise<void> {
  const body = request(walletId, dice, withdrawalId);
  const answers = await Promise.all(Array.from({ length: CLIENTS }, () => post('/v1/withdrawals', body, newKey())));
  expect(answers.filter(({ status }) => status === 202)).toHaveLength(1);
  for (const { status, body: said } of answers) if (status !== 202) expect(said['code']).toBe('withdrawal-exists');
  remember(withdrawalId, body);
}

/** Several to one address are several. */
async function askAgainAndAgain(walletId: string, dice: Dice, times: number): Promise<void> {
  const body = request(walletId, dice);
  const answers = await Promise.all(Array.from({ length: times }, () => post('/v1/withdrawals', body, newKey())));
  for (const { status, body: said } of answers) {
    expect(status, JSON.stringify(said)).toBe(202);
    remember(String(said['withdrawalId']), body);
  }
}

/** Taken back by three clients while it is being paid: all are told the same, and it is so. */
async function askAndTakeBack(walletId: string, dice: Dice, withdrawalId: string): Promise<void> {
  const body = request(walletId, dice, withdrawalId);
  expect((await post('/v1/withdrawals', body, newKey())).status).toBe(202);
  await sleep(dice.between(0, 400));
  const key = newKey();
  const cancels = await Promise.all(
    Array.from({ length: 3 }, () => post(`/v1/withdrawals/${withdrawalId}/cancel`, {}, key)),
  );
  expect(new Set(cancels.map(({ status }) => status)).size).toBe(1);
  const status = cancels[0]?.status;
  expect([202, 409]).toContain(status);
  if (status === 202) takenBack.push(body.address);
  else remember(withdrawalId, body);
}

async function untilOver(task: () => Promise<void>): Promise<void> {
  while (!isOver) await task();
}

async function mineAndReorganise(dice: Dice): Promise<void> {
  await sleep(dice.between(100, 600));
  const depth = dice.between(1, MAX_REORG);
  const reorg = { depth, blocks: depth + 1, dropTransactions: dice.chance(0.5) };
  await tryTo(() =>
    dice.chance(0.5) ? client().post('/dev/chain/mine', { blocks: 1 }) : client().post('/dev/chain/reorg', reorg),
  );
}

/** Raises whatever there is, with one key from several clients. */
async function raise(dice: Dice): Promise<void> {
  await sleep(dice.between(50, 300));
  if (asked.size === 0) return;
  const path = `/v1/withdrawals/${dice.pick([...asked.keys()])}/bump`;
  const key = newKey();
  const body = dice.chance(0.5) ? {} : { feeRateSatsPerVbyte: dice.between(2, 40) };
  const answers = await Promise.all([1, 2, 3].map(() => tryTo(() => client().post(path, body, key))));
  for (const answer of answers) if (answer !== undefined) expect([202, 409, 503]).toContain(answer.status);
}

async function killAndStart(): Promise<void> {
  await ledger.kill();
  ledger = await startLedgerProcess(environment());
}

async function stillOpen(): Promise<number> {
  const { rows } = await database.pool.query<{ count: bigint }>(
    `SELECT count(*) FILTER (WHERE type = 'PayoutStarted') - count(*) FILTER (WHERE type IN ('PayoutClosed', 'PayoutCancelled')) AS count
       FROM outbox WHERE ledger = 'main'`,
  );
  return Number(rows[0]?.count);
}

/** What the workflow wrote without an earlier event that it names as the cause. */
async function causeless(): Promise<unknown[]> {
  const { rows } = await database.pool.query<object>(
    `SELECT e.position, e.type, e.metadata FROM outbox e WHERE e.ledger = 'main' AND e.metadata->>'actor' = 'workflow' AND NOT EXISTS (
       SELECT FROM outbox c WHERE c.ledger = 'main' AND c.id::text = e.metadata->>'causationId' AND c.position < e.position)`,
  );
  return rows;
}

describe('a stranger who tries to make it pay twice', () => {
  it(
    `kills, reorganises, raises, cancels, lies as a signer and asks from a hundred clients: all is paid once (seed ${SEED})`,
    async () => {
      const dice = (who: string): Dice => new Dice(SEED, who);
      const keys = createIndependentSigner('wpkh', 61);
      signer = await startLyingHttpSigner(keys, dice('signer'), recipients.addressOf('p2tr', 0));
      ledger = await startLedgerProcess(environment());
      await fund('hot', { signer: 'local' });
      await fund('warm', { signer: 'http', descriptor: keys.descriptor });

      const [chain, bumper, clients, killer] = ['chain', 'bumper', 'clients', 'killer'].map(dice) as [
        Dice,
        Dice,
        Dice,
        Dice,
      ];
      const troubles = [untilOver(() => mineAndReorganise(chain)), untilOver(() => raise(bumper))];
      for (let round = 0; round < ROUNDS; round += 1) {
        const asking = ['hot', 'warm'].flatMap((walletId) => [
          askWithOneKey(walletId, clients),
          askWithOneId(walletId, clients, `${walletId}-${round}-one`),
          askAgainAndAgain(walletId, clients, 4),
          askAndTakeBack(walletId, clients, `${walletId}-${round}-back-1`),
          askAndTakeBack(walletId, clients, `${walletId}-${round}-back-2`),
        ]);
        const killed = sleep(killer.between(50, 1_500)).then(killAndStart);
        await Promise.all([killed, ...asking]);
        await sleep(killer.between(200, 2_000));
        await killAndStart();
      }
      isOver = true;
      await Promise.all(troubles);
      signer.becomeHonest();
      // What is tried later and later is tried at once by a new process.
      await killAndStart();

      for (const [withdrawalId] of asked) {
        const status = async (): Promise<string> => {
          const seen = await readWithdrawal(client(), withdrawalId);
          if (seen.status !== 'completed') await client().post('/dev/chain/mine', { blocks: 1 });
          return seen.status;
        };
        await expect.poll(status, { timeout: WAIT_MS, interval: 200, message: withdrawalId }).toBe('completed');
      }
      expect((await client().post('/dev/chain/mine', { blocks: FINALITY_DEPTH })).status).toBe(200);
      await expect.poll(stillOpen, { timeout: WAIT_MS, message: 'payouts that are not closed' }).toBe(0);
      expect(await ledger.stop()).toBe(0);
      expect(await runTallystick(['verify', '--json'], environment()), 'verify').toMatchObject({ code: 0 });

      expect(await causeless()).toEqual([]);

      // Every address that was ever named has got what it should: those of what was taken back nothing.
      const output: unknown = expect.stringContaining(`${addressesUsed} addresses`);
      const wanted = [...asked.values(), ...takenBack.map((address) => ({ address, amountSats: 0n }))];
      const files = [join(dataDir, 'regtest', 'blk00000.dat')];
      expect(await countOnTheChain(wanted, { files })).toMatchObject({ code: 0, output });
      expect(signer.done.get('truth')).toBeGreaterThan(0);
      expect(signer.done.size, 'kinds of lies').toBeGreaterThan(1);
    },
    TIMEOUT_MS,
  );
});
