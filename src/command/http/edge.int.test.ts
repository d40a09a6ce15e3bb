import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import {
  startCommandServer,
  type CommandServer,
  type CommandServerOptions,
} from '../../../test/support/command-server.js';
import { createTestDatabase, type TestDatabase } from '../../../test/support/database.js';
import { createLedgerClient } from '../../../test/support/ledger-client.js';
import type { PushOutcome } from '../../bitcoin/push/pushed-blocks.js';
import { InvariantError } from '../../platform/assert.js';
import { BusyError } from '../../platform/errors.js';
import type { DevRefusal } from '../ports.js';
import { createOpenApiDocument } from './openapi.js';

let database: TestDatabase | undefined;
let server: CommandServer | undefined;

afterEach(async () => {
  await server?.close();
  await database?.drop();
  server = database = undefined;
});

async function start(options: Omit<CommandServerOptions, 'database'> = {}): Promise<string> {
  database = await createTestDatabase();
  server = await startCommandServer({ database, ...options });
  return server.url;
}

async function send(
  url: string,
  init: RequestInit,
): Promise<{ status: number; headers: Headers; body: Record<string, unknown> }> {
  const response = await fetch(url, { method: 'POST', ...init });
  return {
    status: response.status,
    headers: response.headers,
    body: (await response.json()) as Record<string, unknown>,
  };
}

const JSON_HEADERS = { 'content-type': 'application/json' };

describe('API keys', () => {
  const [first, second] = ['first-key-0123456789', 'second-key-987654321'];

  it('are needed for everything, and are never written', async () => {
    const url = await start({ apiKeys: [first, second], publicPaths: ['/docs'] });
    const open = (authorization: string | undefined, accountId: string): ReturnType<typeof send> =>
      send(`${url}/v1/accounts`, {
        headers: {
          ...JSON_HEADERS,
          'idempotency-key': accountId,
          ...(authorization === undefined ? {} : { authorization }),
        },
        body: JSON.stringify({ accountId }),
      });
    for (const wrong of [
      undefined,
      '',
      'Bearer',
      'Bearer wrong',
      `Basic ${first}`,
      `Bearer ${first}x`,
      `Bearer ${first.slice(1)}`,
      first,
    ]) {
      const answer = await open(wrong, 'nobody');
      expect(answer).toMatchObject({ status: 401, body: { code: 'unauthorized', type: '/problems/unauthorized' } });
      expect(answer.headers.get('www-authenticate')).toBe('Bearer');
    }
    // Not even what is there is told, nor whether a body is well-formed.
    expect((await send(`${url}/v1/nothing`, {})).status).toBe(401);
    expect((await send(`${url}/v1/accounts`, { headers: JSON_HEADERS, body: '{' })).status).toBe(401);
    expect((await open(`Bearer ${first}`, 'a')).status).toBe(201);
    expect((await open(`bearer ${second}`, 'b')).status).toBe(201);
    // What is public is not found instead, without a key; what only begins like it is not public.
    expect((await send(`${url}/docs/x?y=1`, {})).status).toBe(404);
    expect((await send(`${url}/docs`, {})).status).toBe(404);
    for (const path of ['/docsx', '/docs/../v1/accounts', '//docs', '/v1/docs']) {
      expect((await send(url + path, {})).status).toBe(401);
    }
    const actorOf = (key: string): string => `key:${createHash('sha256').update(key).digest('hex').slice(0, 12)}`;
    const [a] = (await server?.store.readStream('account-a', 0n, 1)) ?? [];
    const [b] = (await server?.store.readStream('account-b', 0n, 1)) ?? [];
    expect(a?.metadata.actor).toBe(actorOf(first));
    expect(b?.metadata.actor).toBe(actorOf(second));
  });
});

describe('POST /v1/chain/blocks', () => {
  const hash = 'ab'.repeat(32);
  const accepted: PushOutcome = {
    kind: 'accepted',
    hash,
    height: 7,
    outcome: 'reorganised',
    disconnected: ['cd'.repeat(32)],
    connected: ['ef'.repeat(32), hash],
    position: 42n,
  };

  it('takes bytes and hex, and says what became of them', async () => {
    const seen: string[] = [];
    const submit = (raw: Uint8Array): Promise<PushOutcome> => {
      seen.push(Buffer.from(raw).toString('hex'));
      return Promise.resolve(accepted);
    };
    const url = `${await start({ pushedBlocks: { submit } })}/v1/chain/blocks`;
    const bytes = await send(url, {
      headers: { 'content-type': 'application/octet-stream' },
      body: new Uint8Array([1, 2, 255]),
    });
    expect(bytes.status).toBe(200);
    expect(bytes.body).toEqual({
      hash,
      height: 7,
      outcome: 'reorganised',
      disconnected: accepted.disconnected,
      connected: accepted.connected,
      position: '42',
    });
    expect(bytes.headers.get('ledger-position')).toBe('42');
    expect(
      (await send(url, { headers: { 'content-type': 'text/plain; charset=utf-8' }, body: ' 0102FF\r\n' })).status,
    ).toBe(200);
    expect(seen).toEqual(['0102ff', '0102ff']);
    // As large as a block can be, in both forms, and not a byte more.
    const largest = new Uint8Array(4_000_000);
    expect((await send(url, { headers: { 'content-type': 'application/octet-stream' }, body: largest })).status).toBe(
      200,
    );
    const hex = 'a0'.repeat(4_000_000);
    expect((await send(url, { headers: { 'content-type': 'text/plain' }, body: `${hex}\n` })).status).toBe(200);
    seen.length = 0;
    for (const [body, type] of [
      [new Uint8Array(4_000_001), 'application/octet-stream'],
      [`${hex}a0`, 'text/plain'],
      [new Uint8Array(9_000_000), 'application/octet-stream'],
    ] as const) {
      expect(await send(url, { headers: { 'content-type': type }, body })).toMatchObject({
        status: 413,
        body: { code: 'body-too-large' },
      });
    }
    for (const body of ['', 'xyz', '123', '01 02', '0x01']) {
      expect(await send(url, { headers: { 'content-type': 'text/plain' }, body })).toMatchObject({
        status: 422,
        body: { code: 'block-invalid' },
      });
    }
    expect(await send(url, { headers: JSON_HEADERS, body: '{}' })).toMatchObject({ status: 415 });
    expect(seen).toEqual([]);
  });

  it('names what is wrong with a block', async () => {
    let outcome: PushOutcome = { kind: 'unknown-parent', hash, prevHash: 'cd'.repeat(32) };
    const url = `${await start({ pushedBlocks: { submit: () => Promise.resolve(outcome) } })}/v1/chain/blocks`;
    const push = (): ReturnType<typeof send> =>
      send(url, { headers: { 'content-type': 'application/octet-stream' }, body: new Uint8Array([1]) });
    expect(await push()).toMatchObject({ status: 409, body: { code: 'block-unknown-parent' } });
    outcome = { kind: 'invalid', reason: 'merkle-root', detail: 'The Merkle root is another one.' };
    expect(await push()).toMatchObject({
      status: 422,
      body: { code: 'block-invalid', detail: 'The Merkle root is another one.', reason: 'merkle-root' },
    });
  });

  it('is closed where blocks come from elsewhere', async () => {
    const url = `${await start()}/v1/chain/blocks`;
    expect(await send(url, { headers: { 'content-type': 'text/plain' }, body: '00' })).toMatchObject({
      status: 409,
      body: { code: 'chain-source-not-push' },
    });
  });
});

describe('/dev/chain', () => {
  it('hands on to the built-in chain, and its refusals to the client', async () => {
    const asked: unknown[] = [];
    let refusal: DevRefusal | undefined;
    const answer = <T>(request: unknown, result: T): Promise<T | DevRefusal> => {
      asked.push(request);
      return Promise.resolve(refusal ?? result);
    };
    const devChain = {
      mine: (request: object) => answer(request, { hashes: ['aa'] }),
      pay: (request: object) => answer(request, { txid: 'bb' }),
      reorg: (request: object) => answer(request, { disconnected: ['cc'], connected: ['dd', 'ee'] }),
    };
    const url = await start({ devChain });
    const post = (path: string, body: object): ReturnType<typeof send> =>
      send(url + path, { headers: JSON_HEADERS, body: JSON.stringify(body) });
    expect(await post('/dev/chain/mine', { blocks: 2 })).toMatchObject({ status: 200, body: { hashes: ['aa'] } });
    expect(await post('/dev/chain/pay', { address: 'x', amountSats: '5' })).toMatchObject({
      status: 200,
      body: { txid: 'bb' },
    });
    expect(await post('/dev/chain/reorg', { depth: 1, blocks: 2 })).toMatchObject({
      status: 200,
      body: { disconnected: ['cc'], connected: ['dd', 'ee'] },
    });
    expect(asked).toEqual([
      { blocks: 2 },
      { address: 'x', amountSats: 5n },
      { depth: 1, blocks: 2, dropTransactions: false },
    ]);
    refusal = { rejected: 'miner-out-of-funds', detail: 'The miner has nothing left.' };
    expect(await post('/dev/chain/pay', { address: 'x', amountSats: '5' })).toMatchObject({
      status: 422,
      body: { code: 'dev-chain-refused', detail: 'The miner has nothing left.', reason: 'miner-out-of-funds' },
    });
    refusal = { rejected: 'address-invalid', detail: 'No address.' };
    expect(await post('/dev/chain/mine', { blocks: 1, address: 'x' })).toMatchObject({
      status: 422,
      body: { code: 'address-invalid' },
    });
    expect(await post('/dev/chain/mine', { blocks: 0 })).toMatchObject({
      status: 400,
      body: { code: 'validation-failed' },
    });
    expect(await post('/dev/chain/mine', { blocks: 10_001 })).toMatchObject({ status: 400 });
  });
});

describe('when the system does not know', () => {
  const transfer = { fromAccountId: 'a', toAccountId: 'b', amountSats: '1' };

  async function openBoth(url: string): Promise<ReturnType<typeof createLedgerClient>> {
    const client = createLedgerClient(url);
    for (const accountId of ['a', 'b']) await client.post('/v1/accounts', { accountId }, accountId);
    return client;
  }

  it('it does not say "insufficient funds", but how far it has come', async () => {
    const url = await start({ wrapReads: (reads) => ({ ...reads, waitFor: () => Promise.resolve(1n) }) });
    const client = await openBoth(url);
    const behind = await client.post('/v1/transfers', transfer, 'k');
    expect(behind).toMatchObject({ status: 503, body: { code: 'ledger-behind', position: '1' } });
    expect(behind.headers.get('retry-after')).toBe('1');
    expect(await server?.store.findOutcome('k')).toBeUndefined();
  });

  it('it says so when the read models cannot be read, without a word of the inside', async () => {
    const url = await start({
      wrapReads: (reads) => ({
        ...reads,
        credits: () => Promise.reject(new Error('relation "secret" does not exist')),
      }),
    });
    const answer = await (await openBoth(url)).post('/v1/transfers', transfer, 'k');
    expect(answer).toMatchObject({ status: 503, body: { code: 'unavailable' } });
    expect(JSON.stringify(answer.body)).not.toContain('secret');
  });

  it('it says so when its queue is full', async () => {
    const url = await start({
      wrapStore: (store) => ({ ...store, append: () => Promise.reject(new BusyError('queue full', 3)) }),
    });
    const answer = await createLedgerClient(url).post('/v1/accounts', { accountId: 'a' }, 'k');
    expect(answer).toMatchObject({ status: 503, body: { code: 'busy' } });
    expect(answer.headers.get('retry-after')).toBe('3');
  });

  it('a bug is a 500 that tells nothing, and a broken invariant ends the process', async () => {
    const failures = [new Error('column "secret"'), new InvariantError('secret invariant')];
    const broken: InvariantError[] = [];
    const url = await start({
      wrapStore: (store) => ({ ...store, append: () => Promise.reject(failures.shift() ?? new Error()) }),
      onInvariantBroken: (error) => broken.push(error),
    });
    for (const expected of [0, 1]) {
      const answer = await createLedgerClient(url).post('/v1/accounts', { accountId: 'a' }, 'k');
      expect(answer).toMatchObject({ status: 500, body: { code: 'internal-error' } });
      expect(JSON.stringify(answer.body)).not.toContain('secret');
      expect(broken).toHaveLength(expected);
    }
  });
});

describe('the end of the server', () => {
  it('lets commands finish, takes no new ones, and does not wait for idle connections', async () => {
    let release = (): void => undefined;
    let arrive = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const arrived = new Promise<void>((resolve) => (arrive = resolve));
    const url = await start({
      wrapStore: (store) => ({
        ...store,
        append: async (request) => {
          arrive();
          await held;
          return await store.append(request);
        },
      }),
    });
    // fetch keeps its connections alive: this one stays open and idle.
    expect((await send(`${url}/v1/nothing`, {})).status).toBe(404);
    const running = createLedgerClient(url).post('/v1/accounts', { accountId: 'a' }, 'k');
    await arrived;
    const closing = server?.app.close();
    const late = createLedgerClient(url).post('/v1/accounts', { accountId: 'b' }, 'late');
    const refused = await late.then(
      ({ status }) => status,
      () => 'no connection',
    );
    expect([503, 'no connection']).toContain(refused);
    release();
    expect((await running).status).toBe(201);
    await closing;
  });
});

describe('the OpenAPI document', () => {
  it('is 3.1 and documents every answer of every command', async () => {
    await start({ devChain: { mine: never, pay: never, reorg: never } });
    if (server === undefined) throw new Error('not started');
    const document = createOpenApiDocument(server.app, '0.0.0');
    expect(document.openapi).toBe('3.1.0');
    expect(Object.keys(document.paths)).toEqual([
      '/dev/chain/mine',
      '/dev/chain/pay',
      '/dev/chain/reorg',
      '/v1/accounts',
      '/v1/chain/blocks',
      '/v1/payouts/{payoutId}/psbt',
      '/v1/payouts/{payoutId}/resolve',
      '/v1/transfers',
      '/v1/wallets',
      '/v1/wallets/{walletId}/addresses',
      '/v1/wallets/{walletId}/scripts',
      '/v1/withdrawals',
      '/v1/withdrawals/{withdrawalId}/bump',
      '/v1/withdrawals/{withdrawalId}/cancel',
    ]);
    const statuses = (path: string): string[] => Object.keys(document.paths[path]?.post?.responses ?? {}).sort();
    expect(statuses('/v1/transfers')).toEqual([
      '201',
      '400',
      '401',
      '403',
      '404',
      '409',
      '413',
      '415',
      '422',
      '431',
      '500',
      '503',
    ]);
    expect(statuses('/v1/chain/blocks')).toEqual([
      '200',
      '400',
      '401',
      '403',
      '409',
      '413',
      '415',
      '422',
      '431',
      '500',
      '503',
    ]);
    const ofCommand = ['202', '400', '401', '403', '404', '409', '413', '415', '422', '431', '500', '503'];
    for (const path of ['/v1/withdrawals', '/v1/withdrawals/{withdrawalId}/cancel', '/v1/payouts/{payoutId}/psbt']) {
      expect(statuses(path)).toEqual(ofCommand);
    }
    expect(Object.keys(document.paths['/v1/payouts/{payoutId}/psbt']?.get?.responses ?? {}).sort()).toEqual([
      '200',
      '400',
      '401',
      '403',
      '404',
      '406',
      '409',
      '431',
      '500',
      '503',
    ]);
    for (const { post } of Object.values(document.paths)) {
      expect(post?.requestBody).toBeDefined();
      for (const [status, response] of Object.entries(post?.responses ?? {})) {
        const content = Object.keys((response as { content: object }).content);
        expect(content).toEqual([Number(status) < 300 ? 'application/json' : 'application/problem+json']);
      }
    }
    // The same each time: it is committed and compared.
    expect(JSON.stringify(createOpenApiDocument(server.app, '0.0.0'))).toBe(JSON.stringify(document));
  });
});

function never(): never {
  throw new Error('must not be called');
}
