import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCommandServer, deposit, type CommandServer } from '../../../test/support/command-server.js';
import { createTestDatabase, type TestDatabase } from '../../../test/support/database.js';
import { createLedgerClient, type Answer } from '../../../test/support/ledger-client.js';

let database: TestDatabase;
/** Two processes' worth of servers on one ledger; the second has no read models of its own running, it waits for the first's. */
let servers: CommandServer[];

beforeAll(async () => {
  database = await createTestDatabase();
  servers = [await startCommandServer({ database })];
});

afterAll(async () => {
  for (const server of servers) await server.close();
  await database.drop();
});

function on(n: number): CommandServer {
  const server = servers[n % servers.length];
  if (server === undefined) throw new Error('no server');
  return server;
}

let keys = 0;
function post(n: number, path: string, body: unknown): Promise<Answer> {
  return createLedgerClient(on(n).url).post(path, body, `c-${++keys}`);
}

async function open(...accountIds: string[]): Promise<void> {
  for (const accountId of accountIds) expect((await post(0, '/v1/accounts', { accountId })).status).toBe(201);
}

/** From the log alone: what came in less what went out. */
async function balanceOf(accountId: string): Promise<bigint> {
  const { rows } = await database.pool.query<{ sats: string }>(
    `SELECT coalesce(sum(-(p->>'amountSats')::numeric), 0)::text AS sats FROM outbox, jsonb_array_elements(data->'postings') p
     WHERE type = 'TransferSent' AND p->>'book' = $1`,
    [`account:${accountId}`],
  );
  return BigInt(rows[0]?.sats ?? '0');
}

const statuses = (answers: readonly Answer[]): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const { status, body } of answers) {
    const name = status === 201 ? 'done' : String(body['code']);
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
};

describe('many transfers at once', () => {
  it('from one account never overspend it, and use all that is there', async () => {
    await open('hot', 'sink');
    await deposit(on(0).store, 'main', { hot: 1_000n });
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, n) =>
        post(n, '/v1/transfers', { fromAccountId: 'hot', toAccountId: 'sink', amountSats: '10' }),
      ),
    );
    expect(statuses(answers)).toEqual({ done: 100, 'insufficient-funds': 100 });
    expect(await balanceOf('hot')).toBe(-1_000n);
  });

  it('of different amounts fill an account up to the last satoshi', async () => {
    await open('mixed');
    await deposit(on(0).store, 'main', { mixed: 5_050n });
    // 1 + 2 + … + 100 = 5,050: only all of them together use it up.
    const amounts = Array.from({ length: 100 }, (_, n) => String(n + 1));
    const answers = await Promise.all(
      amounts.map((amountSats, n) =>
        post(n, '/v1/transfers', { fromAccountId: 'mixed', toAccountId: 'sink', amountSats }),
      ),
    );
    expect(statuses(answers)).toEqual({ done: 100 });
    expect(await balanceOf('mixed')).toBe(-5_050n);
  });

  it('in a ring keep the sum', async () => {
    const ring = ['r0', 'r1', 'r2', 'r3', 'r4'];
    await open(...ring);
    await deposit(on(0).store, 'main', Object.fromEntries(ring.map((id) => [id, 100n])));
    const answers = await Promise.all(
      Array.from({ length: 250 }, (_, n) =>
        post(n, '/v1/transfers', {
          fromAccountId: ring[n % 5],
          toAccountId: ring[(n + 1) % 5],
          amountSats: String(1 + (n % 40)),
        }),
      ),
    );
    const counts = statuses(answers);
    expect(Object.keys(counts).filter((name) => name !== 'done' && name !== 'insufficient-funds')).toEqual([]);
    const balances = await Promise.all(ring.map(async (id) => 100n + (await balanceOf(id))));
    expect(balances.reduce((sum, balance) => sum + balance)).toBe(500n);
    for (const balance of balances) expect(balance).toBeGreaterThanOrEqual(0n);
  });

  it('with one transfer id move money once', async () => {
    await open('unique');
    await deposit(on(0).store, 'main', { unique: 1_000n });
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, n) =>
        post(n, '/v1/transfers', { transferId: 'u', fromAccountId: 'unique', toAccountId: 'sink', amountSats: '10' }),
      ),
    );
    expect(statuses(answers)).toEqual({ done: 1, 'transfer-exists': 49 });
    expect(await balanceOf('unique')).toBe(-10n);
  });
});

describe('many of the same', () => {
  it('accounts: one is opened', async () => {
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, n) => post(n, '/v1/accounts', { accountId: 'same' })),
    );
    expect(statuses(answers)).toEqual({ done: 1, 'account-exists': 49 });
  });

  it('addresses: each is handed out once, without a gap', async () => {
    expect((await post(0, '/v1/wallets', { walletId: 'hot', signer: 'local' })).status).toBe(201);
    const answers = await Promise.all(Array.from({ length: 60 }, (_, n) => post(n, '/v1/wallets/hot/addresses', {})));
    expect(statuses(answers)).toEqual({ done: 60 });
    const indexes = answers.map(({ body }) => Number(body['index'])).sort((a, b) => a - b);
    expect(indexes).toEqual(Array.from({ length: 60 }, (_, n) => n));
  });

  it('wallets with one descriptor: one is created', async () => {
    const tpub =
      'tpubDC5FSnBiZDMmhiuCmWAYsLwgLYrrT9rAqvTySfuCCrgsWz8wxMXUS9Tb9iVMvcRbvFcAHGkMD5Kx8koh4GquNGNTfohfk7pgjhaPCdXpoba';
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, n) =>
        post(0, '/v1/wallets', { walletId: `d${n}`, descriptor: `wpkh(${tpub}/0/*)` }),
      ),
    );
    expect(statuses(answers)).toEqual({ done: 1, 'descriptor-in-use': 9 });
  });

  it('scripts in several wallets: one watches', async () => {
    for (const walletId of ['s1', 's2']) await post(0, '/v1/wallets', { walletId });
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) => post(0, `/v1/wallets/s${1 + (n % 2)}/scripts`, { script: '5152' })),
    );
    expect(statuses(answers)).toEqual({ done: 1, 'script-already-watched': 19 });
  });
});

describe('two servers on one ledger', () => {
  it('decide on one account without overspending, each finding what the other wrote', async () => {
    servers.push(await startCommandServer({ database }));
    await open('shared');
    await deposit(on(0).store, 'main', { shared: 500n });
    const answers = await Promise.all(
      Array.from({ length: 120 }, (_, n) =>
        post(n, '/v1/transfers', { fromAccountId: 'shared', toAccountId: 'sink', amountSats: '10' }),
      ),
    );
    const { done = 0, 'insufficient-funds': refused = 0, busy = 0 } = statuses(answers);
    expect(done + refused + busy).toBe(120);
    expect(await balanceOf('shared')).toBe(-10n * BigInt(done));
    expect(done).toBeLessThanOrEqual(50);
    // Whoever was told to come back later had no outcome; at the end everything is used, nothing more.
    for (let n = 0; (await balanceOf('shared')) > -500n; n++) {
      expect(n).toBeLessThan(100);
      await post(n, '/v1/transfers', { fromAccountId: 'shared', toAccountId: 'sink', amountSats: '10' });
    }
    expect(
      (await post(1, '/v1/transfers', { fromAccountId: 'shared', toAccountId: 'sink', amountSats: '1' })).body,
    ).toMatchObject({
      code: 'insufficient-funds',
    });
    const once = await Promise.all(
      Array.from({ length: 40 }, (_, n) =>
        post(n, '/v1/transfers', { transferId: 'both', fromAccountId: 'sink', toAccountId: 'shared', amountSats: '1' }),
      ),
    );
    expect(statuses(once)['done']).toBe(1);
    expect(await balanceOf('shared')).toBe(-499n);
  });
});
