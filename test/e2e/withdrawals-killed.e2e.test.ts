import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openRegtestChain } from '../../src/bitcoin/regtest/open-regtest-chain.js';
import { paymentsIn } from '../support/count-payments.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { insist } from '../support/journey.js';
import { createLedgerClient, type Answer, type LedgerClient } from '../support/ledger-client.js';
import { runTallystick, startLedgerProcess, type LedgerProcess } from '../support/ledger-process.js';
import { startPostgresProxy, type PostgresProxy } from '../support/pg-proxy.js';
import { createTestWallet } from '../support/regtest-wallet.js';
import { readWithdrawal, type SeenWithdrawal } from '../support/seen-withdrawal.js';

/** Kills before, and as many after a statement; `TALLYSTICK_KILLS=0` kills at every statement of a round, which takes hours. */
const KILLS = Number(process.env['TALLYSTICK_KILLS'] ?? 2);
/** A kill, a start and a round take some seconds, more where others compute too. */
const TIMEOUT_MS = KILLS === 0 ? 24 * 3_600_000 : 300_000 * Math.max(1, KILLS / 2);
const WAIT_MS = 60_000;
const FINALITY_DEPTH = 3;
const COIN_SATS = 5_000_000n;
const AMOUNT_SATS = 100_000n;
const CLIENTS = 100;

const recipients = createTestWallet(98);
let database: TestDatabase;
let proxy: PostgresProxy;
let dataDir: string;
let ledger: LedgerProcess | undefined;
/** Under way where the ledger was killed. */
let restarted: Promise<void>;
/** What each address is to get in the end. */
let asked: Map<string, bigint>;
let addressesUsed: number;

beforeEach(async () => {
  database = await createTestDatabase();
  proxy = await startPostgresProxy(database.url);
  dataDir = mkdtempSync(join(tmpdir(), 'tallystick-killed-'));
  restarted = Promise.resolve();
  asked = new Map();
  addressesUsed = 0;
});

afterEach(async () => {
  await restarted.catch(() => undefined);
  await ledger?.kill();
  ledger = undefined;
  await proxy.close();
  await database.drop();
  rmSync(dataDir, { recursive: true, force: true });
});

function environment(): Record<string, string> {
  return { DATABASE_URL: proxy.url, DATA_DIR: dataDir, FINALITY_DEPTH: String(FINALITY_DEPTH), PAYOUT_WINDOW_MS: '20' };
}

/** Whoever answers at the moment. */
const client = (): LedgerClient => createLedgerClient(ledger?.url ?? '');
const post = (path: string, body: object, key: string): Promise<Answer> => insist(() => client().post(path, body, key));

async function mine(blocks: number): Promise<void> {
  const { status } = await insist(() => client().post('/dev/chain/mine', { blocks }));
  expect(status).toBe(200);
}

/** Asks again until it is so, whether the ledger is there at the moment or not. */
async function until(withdrawalId: string, isSo: (seen: SeenWithdrawal) => boolean): Promise<SeenWithdrawal> {
  let last: SeenWithdrawal | undefined;
  const look = async (): Promise<boolean> => {
    // It may be dead; who killed it starts it again.
    last = await readWithdrawal(client(), withdrawalId).catch(() => undefined);
    return last !== undefined && isSo(last);
  };
  await expect.poll(look, { timeout: WAIT_MS, message: `${withdrawalId} is ${JSON.stringify(last)}` }).toBe(true);
  if (last === undefined) throw new Error('it was there a moment ago');
  return last;
}

async function withdraw(withdrawalId: string, rest: object = {}): Promise<void> {
  const address = recipients.addressOf('p2wpkh', addressesUsed);
  addressesUsed += 1;
  asked.set(address, AMOUNT_SATS);
  const body = { withdrawalId, accountId: 'alice', address, amountSats: AMOUNT_SATS.toString(), ...rest };
  const answer = await post('/v1/withdrawals', body, `withdraw ${withdrawalId}`);
  expect(answer, withdrawalId).toMatchObject({ status: 202, body: { withdrawalId, status: 'requested' } });
}

/** Coins for alice in a wallet that the ledger signs for. */
async function fund(): Promise<void> {
  await post('/v1/accounts', { accountId: 'alice' }, 'account');
  await post('/v1/wallets', { walletId: 'hot', signer: 'local' }, 'wallet');
  const issued = await post('/v1/wallets/hot/addresses', { accountId: 'alice' }, 'address');
  for (let coin = 0; coin < 4; coin += 1) {
    const paid = { address: issued.body['address'], amountSats: COIN_SATS.toString() };
    expect((await client().post('/dev/chain/pay', paid)).status).toBeLessThan(300);
  }
  await mine(1);
  const available = async (): Promise<unknown> => (await client().get('/v1/accounts/alice')).body['availableSats'];
  await expect.poll(available, { timeout: WAIT_MS }).toBe((4n * COIN_SATS).toString());
}

const isOver = ({ status }: SeenWithdrawal): boolean => status === 'completed' || status === 'cancelled';
const isSent = (seen: SeenWithdrawal): boolean => seen.status === 'broadcast' || isOver(seen);

/** Two that are paid, one of them raised, and one that is cancelled if that is still possible: all from asked to completed. */
async function round(name: string): Promise<void> {
  await withdraw(`${name}-raised`);
  const cancelled = recipients.addressOf('p2wpkh', addressesUsed);
  await withdraw(`${name}-cancelled`);
  const cancel = await post(`/v1/withdrawals/${name}-cancelled/cancel`, {}, `cancel ${name}`);
  expect([202, 409], JSON.stringify(cancel.body)).toContain(cancel.status);
  if (cancel.status === 202) asked.delete(cancelled);
  await withdraw(`${name}-shared`, { maxFeeSats: '50000' });
  await until(`${name}-raised`, isSent);
  const bump = await post(`/v1/withdrawals/${name}-raised/bump`, { feeRateSatsPerVbyte: 20 }, `bump ${name}`);
  expect(bump.status, JSON.stringify(bump.body)).toBe(202);
  await until(`${name}-raised`, ({ payout }) => payout?.bumpPending === false);
  const ids = ['raised', 'cancelled', 'shared'].map((which) => `${name}-${which}`);
  for (const id of ids) await until(id, isSent);
  await mine(1);
  for (const id of ids) {
    const { status } = await until(id, isOver);
    expect(status === 'cancelled', `${id} is ${status}`).toBe(id === `${name}-cancelled` && cancel.status === 202);
  }
}

/** Buries all, stops, and holds the ledger and the chain against what was asked for. */
async function expectPaidOnce(): Promise<void> {
  await mine(FINALITY_DEPTH);
  const open = async (): Promise<unknown> => {
    const { rows } = await database.pool.query<{ count: bigint }>(
      `SELECT count(*) FILTER (WHERE type = 'PayoutStarted') - count(*) FILTER (WHERE type IN ('PayoutClosed', 'PayoutCancelled')) AS count
         FROM outbox WHERE ledger = 'main'`,
    );
    return Number(rows[0]?.count);
  };
  await expect.poll(open, { timeout: WAIT_MS, message: 'payouts that are not closed' }).toBe(0);
  await ledger?.stop();
  ledger = undefined;
  expect(await runTallystick(['verify', '--json'], environment()), 'verify').toMatchObject({ code: 0 });
  const directory = join(dataDir, 'regtest');
  const chain = await openRegtestChain({ directory, now: Date.now, random: (count) => Buffer.alloc(count, 1) });
  try {
    const blocks: Uint8Array[] = [];
    for (let height = 1; height <= chain.tip().height; height += 1) {
      blocks.push((await chain.block(chain.hashAt(height) ?? '')) ?? new Uint8Array());
    }
    const count = paymentsIn(blocks);
    // Every address that was ever named, also those of withdrawals that were cancelled.
    const named = Array.from({ length: addressesUsed }, (_, index) => recipients.addressOf('p2wpkh', index));
    const got = named.flatMap((address) => count(address).map((amountSats) => ({ address, amountSats })));
    expect(got).toEqual([...asked].map(([address, amountSats]) => ({ address, amountSats })));
  } finally {
    await chain.close();
  }
}

describe('withdrawals of a ledger that is killed', () => {
  it(
    'are paid once each, wherever it was killed',
    async () => {
      ledger = await startLedgerProcess(environment());
      await fund();
      const before = proxy.statements();
      await round('undisturbed');
      const statements = proxy.statements() - before;
      expect(statements).toBeGreaterThan(50);
      const points = KILLS === 0 ? statements : KILLS;
      for (let point = 0; point < points; point += 1) {
        for (const when of ['before', 'after'] as const) {
          const shift = when === 'before' ? 0.25 : 0.75;
          const n = KILLS === 0 ? point + 1 : Math.floor(((point + shift) * statements) / points);
          let isStruck = false;
          proxy.strikeAt(n, when, () => {
            const struck = ledger;
            isStruck = true;
            restarted = (async () => {
              await struck?.kill();
              ledger = await startLedgerProcess(environment());
            })();
          });
          await round(`${when}-${n}`);
          // Where this round took fewer statements: what it does while it is idle are some too.
          await expect.poll(() => isStruck, { timeout: WAIT_MS, message: `killed ${when} statement ${n}` }).toBe(true);
          await restarted;
        }
      }
      await expectPaidOnce();
    },
    TIMEOUT_MS,
  );

  it('are paid once when a hundred clients ask at once with one key', async () => {
    ledger = await startLedgerProcess(environment());
    await fund();
    const address = recipients.addressOf('p2wpkh', 0);
    addressesUsed = 1;
    asked.set(address, AMOUNT_SATS);
    const body = { accountId: 'alice', address, amountSats: AMOUNT_SATS.toString() };
    const answers = await Promise.all(
      Array.from({ length: CLIENTS }, () => post('/v1/withdrawals', body, 'the one and only')),
    );
    const [first] = answers;
    expect(first?.status).toBe(202);
    for (const { status, body: said } of answers) expect({ status, said }).toEqual({ status: 202, said: first?.body });
    expect(answers.filter(({ headers }) => headers.get('idempotency-replayed') === null)).toHaveLength(1);
    const account = await client().get('/v1/accounts/alice', {
      'ledger-min-position': String(first?.body['position']),
    });
    expect(account.body).toMatchObject({ availableSats: (4n * COIN_SATS - AMOUNT_SATS).toString() });
    await until(String(first?.body['withdrawalId']), isSent);
    await mine(1);
    await expectPaidOnce();
  });
});
