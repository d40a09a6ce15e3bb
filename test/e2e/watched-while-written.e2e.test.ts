import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { createFollowLedger } from '../support/follow-ledger.js';
import { createLedgerClient } from '../support/ledger-client.js';
import { runTallystick, startLedgerProcess, type LedgerProcess } from '../support/ledger-process.js';
import { createMemorySource, makeBlock, makeTransaction } from '../support/memory-chain.js';
import { startPostgresProxy, type PostgresProxy } from '../support/pg-proxy.js';

let database: TestDatabase;
let proxy: PostgresProxy;
let dataDir: string;
let ledger: LedgerProcess | undefined;

beforeEach(async () => {
  database = await createTestDatabase();
  proxy = await startPostgresProxy(database.url);
  dataDir = mkdtempSync(join(tmpdir(), 'tallystick-window-'));
});

afterEach(async () => {
  await ledger?.kill();
  ledger = undefined;
  await proxy.close();
  await database.drop();
  rmSync(dataDir, { recursive: true, force: true });
});

it('a process killed between the append of a block and the look at what was watched meanwhile: the next one finds the payment', async () => {
  const environment = { DATABASE_URL: proxy.url, DATA_DIR: dataDir, BITCOIN_SOURCE: 'push' };
  const elsewhere = createFollowLedger(database, 'main');
  await elsewhere.createWallet('w');
  ledger = await startLedgerProcess(environment);
  await createLedgerClient(ledger.url).post('/v1/accounts', { accountId: 'alice' }, 'open-alice');

  const script = Uint8Array.of(0x53);
  const source = createMemorySource();
  const outpoint = { txid: '11'.repeat(32), vout: 0 };
  const payment = makeTransaction([outpoint], [{ script, amountSats: 7_000n }]);
  const block = source.add(makeBlock(source.best, { transactions: [payment] }));
  const [raw] = await source.blocks([block.hash]);
  expect(raw).toBeDefined();

  // The block is scanned; before its append reaches the log, somebody watches the script; after it, the process dies.
  const killed = new Promise<void>((resolve) => {
    proxy.holdAt(
      'watchedUpTo',
      () => elsewhere.watchScript('w', script, 'alice'),
      () => void ledger?.kill().then(resolve),
    );
  });
  const push = fetch(`${ledger.url}/v1/chain/blocks`, {
    method: 'POST',
    headers: { 'content-type': 'text/plain' },
    body: Buffer.from(raw ?? []).toString('hex'),
  });
  await expect(push).rejects.toThrow();
  await killed;
  const before = await elsewhere.chainStory();
  expect(before.at(-1)).toMatchObject({ step: 'connected', hash: block.hash, found: { received: [] } });

  ledger = await startLedgerProcess(environment);
  const { url } = ledger;
  await expect
    .poll(async () => (await createLedgerClient(url).get('/v1/accounts/alice')).body['availableSats'], {
      timeout: 30_000,
    })
    .toBe('7000');
  const after = (await elsewhere.chainStory()).slice(before.length);
  expect(after.map(({ step }) => step)).toEqual(['disconnected', 'connected']);
  expect(await ledger.stop()).toBe(0);
  ledger = undefined;
  expect(await runTallystick(['verify', '--json'], environment)).toMatchObject({ code: 0 });
});
