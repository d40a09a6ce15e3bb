import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { openProcess, type RunningProcess } from '../../src/app/open-process.js';
import { readConfig } from '../../src/platform/config.js';
import { createLogger } from '../../src/platform/logger.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { startStandIn, type StandIn } from '../support/eventstoredb/stand-in.js';
import { createLedgerClient } from '../support/ledger-client.js';

/** Roles on one database, each started as a process of its own would be. */

let database: TestDatabase;
let dataDir: string;
let running: RunningProcess[] = [];
const fatal: unknown[] = [];

beforeEach(async () => {
  database = await createTestDatabase();
  dataDir = mkdtempSync(join(tmpdir(), 'tallystick-roles-'));
});

afterEach(async () => {
  for (const process of running.splice(0).reverse()) await process.close();
  await database.drop();
  rmSync(dataDir, { recursive: true, force: true });
  expect(fatal).toEqual([]);
});

async function start(environment: Record<string, string>): Promise<RunningProcess> {
  const config = readConfig({ PORT: '0', DATABASE_URL: database.url, DATA_DIR: dataDir, ...environment });
  const options = { logger: createLogger('silent'), onFatal: (error: unknown) => fatal.push(error) };
  const process = await openProcess(config, options);
  running.push(process);
  return process;
}

async function stop(process: RunningProcess): Promise<void> {
  running = running.filter((other) => other !== process);
  await process.close();
}

const TOTALS = '{ ledger { id position tip { height } customersSats } }';
type Totals = { ledger: { id: string; position: string; tip: { height: number } | null; customersSats: string } };

/** A wallet, an account, and a deposit of 70,000 satoshis to it; answers the position at which it is there. */
async function deposit(url: string): Promise<string> {
  const client = createLedgerClient(url);
  await client.post('/v1/accounts', { accountId: 'alice' }, 'account');
  await client.post('/v1/wallets', { walletId: 'hot', signer: 'local' }, 'wallet');
  const { body } = await client.post('/v1/wallets/hot/addresses', { accountId: 'alice' }, 'address');
  const paid = await client.post('/dev/chain/pay', { address: body['address'], amountSats: '70000' });
  expect(paid.status).toBe(200);
  await client.post('/dev/chain/mine', { blocks: 1 });
  const { rows } = await database.pool.query<{ position: bigint }>('SELECT max(position) AS position FROM ledger_head');
  return String(rows[0]?.position);
}

describe('roles in processes of their own', () => {
  it('write in one and read what another projects, started in any order', async () => {
    const writer = await start({ ROLE: 'api,follower,workflow' });
    const early = await createLedgerClient(writer.url).get('/v1/accounts/alice', { 'ledger-min-position': '1' });
    // Nobody projects yet: that is no "not found".
    expect(early.status).toBe(503);
    expect(early.body).toMatchObject({ code: 'ledger-behind' });
    const projector = await start({ ROLE: 'projector' });
    const minPosition = await deposit(writer.url);
    const client = createLedgerClient(writer.url);
    const { ledger } = await client.graphql<Totals>(TOTALS, { minPosition });
    expect(ledger).toMatchObject({ tip: { height: 111 }, customersSats: '70000' });

    // The projector has health and metrics of its own, and nothing else.
    const ready = await createLedgerClient(projector.url).get('/health/ready');
    expect(ready.body).toMatchObject({ status: 'ready', checks: { database: {}, feed: {}, lag: {} } });
    expect(ready.body['checks']).not.toHaveProperty('node');
    const metrics = await createLedgerClient(projector.url).get('/metrics');
    expect(String(metrics.body['text'])).toMatch(
      /^tallystick_projection_lag_events\{ledger="main",projection="accounts"\} 0$/m,
    );
    expect((await createLedgerClient(projector.url).get('/v1/accounts/alice')).status).toBe(404);
  });

  it('goes on with the other projector when one is stopped', async () => {
    const writer = await start({ ROLE: 'api,follower,workflow' });
    const first = await start({ ROLE: 'projector' });
    const second = await start({ ROLE: 'projector' });
    await deposit(writer.url);
    await stop(first);
    const client = createLedgerClient(writer.url);
    const { body } = await client.post('/v1/accounts', { accountId: 'bob' }, 'bob');
    const answer = await client.get('/v1/accounts/bob', { 'ledger-min-position': String(body['position']) });
    expect(answer.status).toBe(200);
    await stop(second);
  });
});

describe('several ledgers in one deployment', () => {
  it('see nothing of one another, each below a path of its own', async () => {
    const { url } = await start({ LEDGER: 'a,b' });
    await deposit(`${url}/ledgers/a`);
    const [a, b] = [createLedgerClient(`${url}/ledgers/a`), createLedgerClient(`${url}/ledgers/b`)];
    const opened = await b.post('/v1/accounts', { accountId: 'bob' }, 'account');
    // The same idempotency key was used in the other ledger.
    expect(opened.status).toBe(201);
    const totals = async (client: typeof a): Promise<Totals['ledger']> => (await client.graphql<Totals>(TOTALS)).ledger;
    expect(await totals(a)).toMatchObject({ id: 'a', customersSats: '70000', tip: { height: 111 } });
    await b.get('/v1/accounts/bob', { 'ledger-min-position': String(opened.body['position']) });
    expect(await totals(b)).toMatchObject({ id: 'b', customersSats: '0' });
    expect((await a.get('/v1/accounts/bob')).status).toBe(404);
    expect((await b.get('/v1/accounts/alice')).status).toBe(404);

    // A link to what was made leads into the same ledger.
    const address = 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080';
    const request = { withdrawalId: 'w', accountId: 'alice', address, amountSats: '10000' };
    const withdrawal = await a.post('/v1/withdrawals', request, 'w');
    expect(withdrawal.headers.get('location')).toBe('/ledgers/a/v1/withdrawals/w');

    const root = createLedgerClient(url);
    expect((await root.get('/v1/accounts/alice')).status).toBe(404);
    const ready = await root.get('/health/ready');
    expect(Object.keys(ready.body['checks'] as object)).toEqual(
      expect.arrayContaining(['database', 'a/node', 'b/node']),
    );
    const metrics = String((await root.get('/metrics')).body['text']);
    expect(metrics).toMatch(/^tallystick_chain_height\{ledger="a",of="ledger"\} 111$/m);
    expect(metrics).toMatch(/^tallystick_chain_height\{ledger="b",of="ledger"\} 111$/m);
  });

  it('serve page and subscriptions below their paths', async () => {
    const { url } = await start({ LEDGER: 'a,b' });
    const page = await fetch(`${url}/ledgers/b`, { redirect: 'manual' });
    expect([page.status, page.headers.get('location')]).toEqual([308, '/ledgers/b/']);
    const html = await (await fetch(`${url}/ledgers/b/`)).text();
    expect(html).not.toMatch(/(href|src)="\//);
    const seen = await new Promise((resolve, reject) => {
      const socket = new WebSocket(`${url.replace('http', 'ws')}/ledgers/b/graphql`, 'graphql-transport-ws');
      socket.on('error', reject);
      socket.on('open', () => {
        socket.send(JSON.stringify({ type: 'connection_init' }));
      });
      socket.on('message', (data: Buffer) => {
        const message = JSON.parse(data.toString()) as { type: string; payload?: { data?: Totals } };
        const query = 'subscription { ledger { id } }';
        if (message.type === 'connection_ack')
          socket.send(JSON.stringify({ id: '1', type: 'subscribe', payload: { query } }));
        if (message.type === 'next') {
          resolve(message.payload?.data?.ledger.id);
          socket.close();
        }
      });
    });
    expect(seen).toBe('b');
  });

  it('stop although a client goes on asking over the same connection', async () => {
    const process = await start({ LEDGER: 'a,b' });
    let asking = true;
    const statuses = new Set<number>();
    const client = (async () => {
      while (asking) {
        const answer = await fetch(`${process.url}/ledgers/a/health/live`).catch(() => undefined);
        if (answer === undefined) break;
        statuses.add(answer.status);
        await answer.text();
      }
    })();
    await expect.poll(() => statuses.size).toBeGreaterThan(0);
    await stop(process);
    asking = false;
    await client;
    // Answered to the end: nobody is told that something is not there because it is about to go.
    expect([...statuses]).toEqual([200]);
  });

  it('are found at the root too where there is only one', async () => {
    const { url } = await start({ LEDGER: 'only' });
    const paths = ['/v1/chain/none', '/health/live', '/graphiql'];
    for (const path of paths) {
      const [below, root] = await Promise.all([fetch(`${url}/ledgers/only${path}`), fetch(url + path)]);
      expect([path, below.status]).toEqual([path, root.status]);
    }
    const { ledger } = await createLedgerClient(`${url}/ledgers/only`).graphql<Totals>(TOTALS);
    expect(ledger.id).toBe('only');
  });
});

describe('events in EventStoreDB', () => {
  let server: StandIn;
  beforeEach(async () => {
    server = await startStandIn();
  });
  afterEach(() => server.stop());
  const stored = (): Record<string, string> => ({ EVENT_STORE: 'eventstoredb', EVENTSTOREDB_URL: server.url });

  it('come into the outbox by a relay in a process of its own, and a standby goes on when that one ends', async () => {
    const relays = [await start({ ROLE: 'relay', ...stored() }), await start({ ROLE: 'relay', ...stored() })];
    const { url } = await start({ ROLE: 'api,follower,workflow', ...stored() });
    await start({ ROLE: 'projector' });
    const minPosition = await deposit(url);
    const client = createLedgerClient(url);
    const { ledger } = await client.graphql<Totals>(TOTALS, { minPosition });
    expect(ledger).toMatchObject({ tip: { height: 111 }, customersSats: '70000' });
    for (const [index, relay] of relays.entries()) {
      if (index === 0) await stop(relay);
      const opened = await client.post('/v1/accounts', { accountId: `later-${index}` }, `later-${index}`);
      expect(opened.status).toBe(201);
      const again = await client.post('/v1/accounts', { accountId: `later-${index}` }, `later-${index}`);
      expect([again.status, again.headers.get('idempotency-replayed')]).toEqual([201, 'true']);
    }
  });

  it('are all that there is in one process too', async () => {
    const { url } = await start(stored());
    const minPosition = await deposit(url);
    const client = createLedgerClient(url);
    const { ledger } = await client.graphql<Totals>(TOTALS, { minPosition });
    expect(ledger).toMatchObject({ customersSats: '70000' });
    const ready = await client.get('/health/ready');
    expect(ready.body).toMatchObject({ checks: { relay: { ok: true } } });
  });
});
