import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCommandServer, deposit, type CommandServer } from '../../../test/support/command-server.js';
import { createTestDatabase, type TestDatabase } from '../../../test/support/database.js';
import { createLedgerClient, type Answer } from '../../../test/support/ledger-client.js';
import type { EventStore } from '../../eventstore/event-store.js';
import { RetryableError } from '../../platform/errors.js';

let database: TestDatabase;
let server: CommandServer;
/** What the store does with the next appends; tests put faults in. */
let beforeAppend: () => Promise<void> = () => Promise.resolve();
let afterAppend: () => Promise<void> = () => Promise.resolve();

const start = (): Promise<CommandServer> => startCommandServer({ database, wrapStore: withFaults });

function withFaults(store: EventStore): EventStore {
  return {
    ...store,
    append: async (request) => {
      await beforeAppend();
      const result = await store.append(request);
      await afterAppend();
      return result;
    },
  };
}

beforeAll(async () => {
  database = await createTestDatabase();
  server = await start();
  for (const id of ['alice', 'bob', 'poor']) await post('/v1/accounts', { accountId: id }, `open-${id}`);
  await deposit(server.store, 'main', { alice: 1_000_000n });
});

afterAll(async () => {
  await server.close();
  await database.drop();
});

function post(path: string, body: unknown, key: string): Promise<Answer> {
  return createLedgerClient(server.url).post(path, body, key);
}

const transfer = (amountSats: string): object => ({ fromAccountId: 'alice', toAccountId: 'bob', amountSats });
const refused = { fromAccountId: 'poor', toAccountId: 'bob', amountSats: '7' };
const told = ({ status, body }: Answer): object => ({ status, body: { ...body, traceId: undefined } });

describe('the same key with the same request', () => {
  it('has the same outcome, marked as one that was given before', async () => {
    const first = await post('/v1/transfers', transfer('10'), 'again');
    const head = await server.outbox.head();
    const second = await post('/v1/transfers', transfer('10'), 'again');
    expect(second.status).toBe(201);
    expect(second.body).toEqual(first.body);
    expect(second.headers.get('ledger-position')).toBe(first.headers.get('ledger-position'));
    expect(first.headers.get('idempotency-replayed')).toBeNull();
    expect(second.headers.get('idempotency-replayed')).toBe('true');
    expect(await server.outbox.head()).toBe(head);
  });

  it('may be quoted or bare, and its body ordered and spaced in any way', async () => {
    const first = await post(
      '/v1/accounts',
      { accountId: 'erin', metadata: { a: 1, b: { c: 2, d: 3 } } },
      'spaced key',
    );
    const response = await fetch(`${server.url}/v1/accounts`, {
      method: 'POST',
      headers: { 'content-type': 'application/json; charset=utf-8', 'idempotency-key': '"spaced key"' },
      body: '{ "metadata": {"b":{"d":3,"c":2}, "a":1.0},\n "accountId":"erin" }',
    });
    expect(response.headers.get('idempotency-replayed')).toBe('true');
    expect(await response.json()).toEqual(first.body);
  });

  it('has the same rejection, also when the reason for it is gone', async () => {
    const first = await post('/v1/transfers', refused, 'too-poor');
    expect(first).toMatchObject({ status: 422, body: { code: 'insufficient-funds' } });
    expect(first.headers.get('idempotency-replayed')).toBeNull();
    await post('/v1/transfers', { ...transfer('7'), toAccountId: 'poor' }, 'help');
    const second = await post('/v1/transfers', refused, 'too-poor');
    expect(told(second)).toEqual(told(first));
    expect(second.headers.get('idempotency-replayed')).toBe('true');
    expect((await post('/v1/transfers', refused, 'not-poor-now')).status).toBe(201);
  });

  it('has the same outcome after a restart, also for addresses and rejections', async () => {
    const descriptor =
      'wpkh(tpubDC5FSnBiZDMmhiuCmWAYsLwgLYrrT9rAqvTySfuCCrgsWz8wxMXUS9Tb9iVMvcRbvFcAHGkMD5Kx8koh4GquNGNTfohfk7pgjhaPCdXpoba/0/*)';
    const requests: [string, unknown, string][] = [
      ['/v1/accounts', { accountId: 'frank', metadata: { z: 1, a: [2] } }, 'r1'],
      ['/v1/wallets', { walletId: 'hot', descriptor }, 'r2'],
      ['/v1/wallets/hot/addresses', { accountId: 'frank' }, 'r3'],
      ['/v1/wallets/hot/addresses', { accountId: 'frank' }, 'r4'],
      ['/v1/wallets/hot/scripts', { script: '51' }, 'r5'],
      ['/v1/transfers', transfer('3'), 'r6'],
      ['/v1/transfers', { ...transfer('3'), transferId: 'mine' }, 'r7'],
      ['/v1/accounts', { accountId: 'frank' }, 'r8'],
      ['/v1/wallets/hot/scripts', { script: '5' }, 'r9'],
      ['/v1/transfers', transfer('0'), 'r10'],
    ];
    const first: Answer[] = [];
    for (const [path, body, key] of requests) first.push(await post(path, body, key));
    expect(first.map(({ status }) => status)).toEqual([201, 201, 201, 201, 201, 201, 201, 409, 422, 422]);
    const head = await server.outbox.head();
    await server.close();
    server = await start();
    for (const [n, [path, body, key]] of requests.entries()) {
      const again = await post(path, body, key);
      expect(told(again)).toEqual(told(first[n] ?? again));
      expect(again.headers.get('idempotency-replayed')).toBe('true');
      expect(again.headers.get('ledger-position')).toBe(first[n]?.headers.get('ledger-position') ?? null);
    }
    expect(await server.outbox.head()).toBe(head);
    // And the streams go on where they stood.
    expect((await post('/v1/wallets/hot/addresses', {}, 'r11')).body).toMatchObject({ index: 2 });
    expect((await post('/v1/transfers', { ...transfer('3'), transferId: 'mine' }, 'r12')).body).toMatchObject({
      code: 'transfer-exists',
    });
  });
});

describe('the same key with another request', () => {
  it.each([
    ['another amount', '/v1/transfers', transfer('11')],
    ['another field', '/v1/transfers', { ...transfer('10'), transferId: 'x' }],
    ['another command', '/v1/accounts', { accountId: 'alice' }],
    ['another path', '/v1/wallets/a/addresses', {}],
  ])('is refused: %s', async (_name, path, body) => {
    await post('/v1/transfers', transfer('10'), 'reuse');
    const head = await server.outbox.head();
    for (let n = 0; n < 2; n++) {
      expect(await post(path, body, 'reuse')).toMatchObject({ status: 422, body: { code: 'idempotency-key-reused' } });
    }
    expect((await post('/v1/transfers', transfer('10'), 'reuse')).headers.get('idempotency-replayed')).toBe('true');
    expect(await server.outbox.head()).toBe(head);
  });

  it('is refused after a restart, too', async () => {
    await post('/v1/transfers', transfer('10'), 'reuse-later');
    await post('/v1/transfers', refused, 'reuse-rejected');
    await server.close();
    server = await start();
    for (const key of ['reuse-later', 'reuse-rejected']) {
      expect(await post('/v1/transfers', transfer('12'), key)).toMatchObject({
        status: 422,
        body: { code: 'idempotency-key-reused' },
      });
    }
  });
});

describe('a key that is still running', () => {
  it('is answered 409, and has one outcome', async () => {
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    let reached = (): void => undefined;
    const isRunning = new Promise<void>((resolve) => (reached = resolve));
    beforeAppend = () => {
      reached();
      return held;
    };
    const first = post('/v1/accounts', { accountId: 'slow' }, 'slow');
    await isRunning;
    const second = await post('/v1/accounts', { accountId: 'slow' }, 'slow');
    beforeAppend = () => Promise.resolve();
    release();
    expect(second).toMatchObject({ status: 409, body: { code: 'idempotency-key-in-use' } });
    expect(second.headers.get('retry-after')).toBe('1');
    expect((await first).status).toBe(201);
    expect((await post('/v1/accounts', { accountId: 'slow' }, 'slow')).headers.get('idempotency-replayed')).toBe(
      'true',
    );
  });

  it('gives one event to a hundred clients that send it at once', async () => {
    const before = await server.outbox.head();
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => post('/v1/transfers', transfer('1'), 'one-of-hundred')),
    );
    expect(await server.outbox.head()).toBe(before + 1n);
    const fresh = answers.filter(
      ({ status, headers }) => status === 201 && headers.get('idempotency-replayed') === null,
    );
    expect(fresh).toHaveLength(1);
    for (const answer of answers) {
      if (answer.status === 201) expect(answer.body).toEqual(fresh[0]?.body);
      else expect(answer).toMatchObject({ status: 409, body: { code: 'idempotency-key-in-use' } });
    }
  });
});

describe('an append whose acknowledgement is lost', () => {
  it('is done once, and the client is told that it was done', async () => {
    for (const failures of [1, 2, 3]) {
      let left = failures;
      afterAppend = () => {
        if (left-- > 0) throw new RetryableError('the connection broke after the commit');
        return Promise.resolve();
      };
      const before = await server.outbox.head();
      const answer = await post(
        '/v1/transfers',
        { ...transfer('5'), transferId: `lost-${failures}` },
        `lost-${failures}`,
      );
      expect(answer.status).toBe(201);
      expect(answer.headers.get('idempotency-replayed')).toBeNull();
      expect(answer.headers.get('ledger-position')).toBe((before + 1n).toString());
      expect(await server.outbox.head()).toBe(before + 1n);
    }
  });

  it('holds for the last satoshi, and for rejections', async () => {
    await post('/v1/accounts', { accountId: 'last' }, 'open-last');
    await post('/v1/transfers', { ...transfer('9'), toAccountId: 'last' }, 'fund-last');
    const all = { fromAccountId: 'last', toAccountId: 'bob', amountSats: '9' };
    let left = 1;
    afterAppend = () => {
      if (left-- > 0) throw new RetryableError('the connection broke after the commit');
      return Promise.resolve();
    };
    // What was lost is the transfer of everything: a second look at the account finds it empty.
    expect((await post('/v1/transfers', all, 'lost-all')).status).toBe(201);
    left = 1;
    expect(await post('/v1/transfers', all, 'lost-rejection')).toMatchObject({
      status: 422,
      body: { code: 'insufficient-funds' },
    });
    expect((await post('/v1/transfers', all, 'lost-rejection')).headers.get('idempotency-replayed')).toBe('true');
  });

  it('is 503 when the store does not come back, and the same key finishes it later', async () => {
    afterAppend = () => {
      throw new RetryableError('the connection broke after the commit');
    };
    const before = await server.outbox.head();
    const away = await post('/v1/transfers', transfer('2'), 'away');
    afterAppend = () => Promise.resolve();
    expect(away).toMatchObject({ status: 503, body: { code: 'unavailable' } });
    expect(away.headers.get('retry-after')).toBe('1');
    expect(JSON.stringify(away.body)).not.toContain('connection');
    const answer = await post('/v1/transfers', transfer('2'), 'away');
    expect(answer.status).toBe(201);
    expect(answer.headers.get('idempotency-replayed')).toBe('true');
    expect(await server.outbox.head()).toBe(before + 1n);
  });

  it('changes nothing when it never arrived', async () => {
    beforeAppend = () => {
      throw new RetryableError('no connection');
    };
    const before = await server.outbox.head();
    expect((await post('/v1/transfers', transfer('2'), 'never')).status).toBe(503);
    beforeAppend = () => Promise.resolve();
    expect(await server.outbox.head()).toBe(before);
    const answer = await post('/v1/transfers', transfer('2'), 'never');
    expect(answer.status).toBe(201);
    expect(answer.headers.get('idempotency-replayed')).toBeNull();
  });
});
