import { createConnection } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { createTestDatabase, type TestDatabase } from '../../../test/support/database.js';
import * as told from '../../../test/support/payout-events.js';
import { startQueryServer, type QueryServer } from '../../../test/support/query-server.js';
import {
  accountOpened,
  blockConnected,
  chainOpened,
  deposit,
  hashNamed,
  transferSent,
  walletCreated,
} from '../../../test/support/small-histories.js';

const CONNECTIONS = 3;
const STUCK_MS = 1_500;

let database: TestDatabase;
let server: QueryServer;
const clients: Client[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  server = await startQueryServer({
    database,
    limits: { maxConnections: CONNECTIONS, stuckClientMs: STUCK_MS },
  });
  const large = accountOpened('large');
  Object.assign(large.data, { metadata: { text: 'x'.repeat(400_000) } });
  await server.tell([
    ...chainOpened(1),
    large,
    accountOpened('bob'),
    blockConnected(1, '1', '0', deposit('a', 'large', 1_000_000)),
  ]);
});

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.end()));
});

afterAll(async () => {
  await server.close();
  await database.drop();
});

interface Message {
  type: string;
  id?: string;
  payload?: {
    data?: Record<string, Record<string, unknown>> | null;
    errors?: { extensions: { code: string } }[];
    extensions?: { ledger: { position: string } };
  };
}

interface Client {
  socket: WebSocket;
  messages: Message[];
  send(message: object): void;
  /** The first message from `from` on that fits. */
  next(fits: (message: Message) => boolean, from?: number): Promise<Message>;
  closed: Promise<number>;
  end(): Promise<void>;
}

async function connect(
  url = server.url,
  init: object | null = {},
  headers: Record<string, string> = {},
): Promise<Client> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws', { headers });
  const messages: Message[] = [];
  const closed = new Promise<number>((resolve) => {
    socket.on('close', (code) => {
      resolve(code);
    });
  });
  socket.on('message', (data: Buffer) => {
    messages.push(JSON.parse(data.toString('utf8')) as Message);
  });
  const client: Client = {
    socket,
    messages,
    send: (message) => {
      socket.send(JSON.stringify(message));
    },
    next: async (fits, from = 0) => {
      let found: Message | undefined;
      await expect
        .poll(() => (found = messages.slice(from).find(fits)) !== undefined, { timeout: 10_000, interval: 10 })
        .toBe(true);
      if (found === undefined) throw new Error('no such message');
      return found;
    },
    closed,
    end: async () => {
      socket.terminate();
      await closed;
    },
  };
  clients.push(client);
  await new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
  if (init !== null) {
    client.send({ type: 'connection_init', payload: init });
    if (headers['expect-ack'] !== 'no') await client.next(({ type }) => type === 'connection_ack');
  }
  return client;
}

const subscribe = (client: Client, id: string, query: string, variables: object = {}): void => {
  client.send({ type: 'subscribe', id, payload: { query, variables } });
};
const isNext = ({ type }: Message): boolean => type === 'next';

describe('a subscription', () => {
  it('gets the state at once, then the new one after each change, with its position', async () => {
    const client = await connect();
    subscribe(client, '1', 'subscription { ledger { position customersSats } }');
    const head = await server.outbox.head();
    expect((await client.next(isNext)).payload).toEqual({
      data: { ledger: { position: String(head), customersSats: '1000000' } },
      extensions: { ledger: expect.objectContaining({ position: String(head), tipHeight: 1 }) as unknown },
    });
    await server.tell([accountOpened('carol')]);
    const later = await client.next((message) => message.payload?.data?.['ledger']?.['position'] === String(head + 1n));
    expect(later.payload?.extensions?.ledger.position).toBe(String(head + 1n));
  });

  it('tells each status of a withdrawal and of its payout as it comes, and that there is none', async () => {
    const asked = { id: 'wd1', account: 'large', amount: 40_000, maxFee: 1_000 };
    const coin = told.coinNamed('withdrawn', 100_000);
    const payment: told.Payment = {
      payoutId: 'p1',
      candidate: 0,
      txid: hashNamed('payment'),
      inputs: [coin],
      pays: [asked],
      change: 59_500,
      fee: 500,
    };
    const client = await connect();
    subscribe(client, '1', 'subscription { withdrawal(id: "wd1") { status txid } }');
    expect((await client.next(isNext)).payload?.errors?.[0]?.extensions.code).toBe('BAD_USER_INPUT');
    const payer = await connect();
    subscribe(payer, '1', 'subscription { payout(id: "p1") { status candidates { feeSats } withdrawals { id } } }');
    expect((await payer.next(isNext)).payload?.errors?.[0]?.extensions.code).toBe('BAD_USER_INPUT');
    const says = (status: string): Promise<Message> =>
      client.next((message) => message.payload?.data?.['withdrawal']?.['status'] === status);
    await server.tell([walletCreated('w'), told.fundsReserved(asked)]);
    expect((await says('requested')).payload?.data?.['withdrawal']).toEqual({ status: 'requested', txid: null });
    await server.tell([
      told.payoutStarted('p1', [asked], { completeAt: 2, finalAt: 6 }),
      told.withdrawalAssigned('wd1', 'p1'),
      told.coinsReserved('p1', [coin]),
      told.candidatePrepared(payment),
    ]);
    await says('prepared');
    const prepared = await payer.next((message) => message.payload?.data?.['payout']?.['status'] === 'prepared');
    expect(prepared.payload?.data?.['payout']).toEqual({
      status: 'prepared',
      candidates: [{ feeSats: '500' }],
      withdrawals: [{ id: 'wd1' }],
    });
    await server.tell([told.candidateSigned(payment), told.candidateOffered('p1', payment.txid, 'accepted')]);
    const sent = await says('broadcast');
    expect(sent.payload?.data?.['withdrawal']).toEqual({ status: 'broadcast', txid: payment.txid });
    expect(sent.payload?.extensions?.ledger.position).toBe(String(await server.outbox.head()));
    await payer.next((message) => message.payload?.data?.['payout']?.['status'] === 'broadcast');
  });

  it('is silent while its answer stays the same, and tells of an account that comes to be', async () => {
    const client = await connect();
    subscribe(client, '1', 'subscription { account(id: "dora") { id availableSats } }');
    const first = await client.next(isNext);
    expect(first.payload?.data).toBeNull();
    expect(first.payload?.errors?.[0]?.extensions.code).toBe('BAD_USER_INPUT');
    await server.tell([accountOpened('dora')]);
    await client.next((message) => message.payload?.data?.['account']?.['availableSats'] === '0');
    await server.tell([accountOpened('erin')]);
    await server.tell([transferSent('to-dora', 'large', 'dora', 7)]);
    await client.next((message) => message.payload?.data?.['account']?.['availableSats'] === '7');
    expect(client.messages.filter(isNext)).toHaveLength(3);
  });

  it('ends when the client says so, and nothing is left of it', async () => {
    const client = await connect();
    subscribe(client, '1', 'subscription { ledger { position } }');
    await client.next(isNext);
    client.send({ type: 'complete', id: '1' });
    client.send({ type: 'ping' });
    await client.next(({ type }) => type === 'pong');
    const before = client.messages.length;
    await server.tell([accountOpened('fred')]);
    subscribe(client, '1', 'subscription { ledger { position } }');
    await client.next(isNext, before);
    expect(client.messages.slice(before).filter(isNext)).toHaveLength(1);
  });

  it('takes queries too', async () => {
    const client = await connect();
    subscribe(client, '1', '{ account(id: "bob") { id } }');
    expect((await client.next(isNext)).payload?.data).toEqual({ account: { id: 'bob' } });
    await client.next(({ type }) => type === 'complete');
  });

  it.each([
    [
      'too deep',
      `subscription { ledger { tip { ${'transfers { block { '.repeat(6)} hash ${'} }'.repeat(6)} } } }`,
      'QUERY_TOO_COMPLEX',
    ],
    [
      'too wide',
      'subscription { account(id: "bob") { a: entries(first: 500) { edges { node { position } } } ...f } } fragment f on Account { entries(first: 30000) { edges { cursor } } }',
      'QUERY_TOO_COMPLEX',
    ],
    ['too long', `subscription { ledger { id } } #${'x'.repeat(20_000)}`, 'QUERY_TOO_COMPLEX'],
    ['not in the schema', 'subscription { nothing }', 'GRAPHQL_VALIDATION_FAILED'],
    ['not GraphQL', 'subscription {', 'GRAPHQL_PARSE_FAILED'],
  ])('that is %s is refused', async (_what, query, code) => {
    const client = await connect();
    subscribe(client, '1', query);
    const refused = await client.next(({ type }) => type === 'error');
    expect((refused.payload as unknown as { extensions: { code: string } }[])[0]?.extensions.code).toBe(code);
  });

  it('is one of at most 20 on a connection', async () => {
    const client = await connect();
    for (let n = 1; n <= 21; n += 1) subscribe(client, String(n), 'subscription { ledger { position } }');
    const refused = await client.next(({ type }) => type === 'error');
    expect(refused.id).toBe('21');
  });
});

describe('a slow client', () => {
  it('gets the newest state when it reads again, not a queue of old ones', async () => {
    const client = await connect();
    subscribe(client, '1', 'subscription { account(id: "large") { availableSats metadata } }');
    await client.next(isNext);
    const balance = (message: Message | undefined): unknown => message?.payload?.data?.['account']?.['availableSats'];
    const before = Number(balance(client.messages.at(-1)));
    const changes = 60;
    client.socket.pause();
    // 400 kB each: far more than the kernel holds for a connection.
    for (let n = 0; n < changes; n += 1) {
      await server.tell([transferSent(`slow-${n}`, 'large', 'bob', 1)]);
      await new Promise((resolve) => setTimeout(resolve, 20));
      if (n % 10 === 9) {
        // It takes a little now and then, so that it is slow, and not stuck.
        client.socket.resume();
        await new Promise((resolve) => setImmediate(resolve));
        client.socket.pause();
      }
    }
    client.socket.resume();
    await client.next((message) => balance(message) === String(before - changes));
    const received = client.messages.filter(isNext).map((message) => Number(balance(message)));
    expect(received.length).toBeLessThan(changes);
    expect(received).toEqual([...received].sort((a, b) => b - a));
    expect(client.socket.readyState).toBe(WebSocket.OPEN);
  });

  it('that takes nothing any more is dropped, and makes room', async () => {
    const stuck = await connect();
    await connect();
    await connect();
    await expect(connect()).rejects.toThrow('503');
    subscribe(stuck, '1', 'subscription { account(id: "large") { availableSats metadata } }');
    await stuck.next(isNext);
    stuck.socket.pause();
    let n = 0;
    await expect
      .poll(
        async () => {
          for (let burst = 0; burst < 5; burst += 1)
            await server.tell([transferSent(`stuck-${n++}`, 'large', 'bob', 1)]);
          return connect().then(
            () => 'room',
            (error: unknown) => String(error),
          );
        },
        { timeout: 30_000, interval: 50 },
      )
      .toBe('room');
  }, 40_000);

  it('that answers no ping is dropped', async () => {
    const other = await startQueryServer({ database, limits: { maxConnections: 1, pingIntervalMs: 100 } });
    try {
      const dead = await connect(other.url);
      await expect(connect(other.url)).rejects.toThrow('503');
      // The connection stays open; its process just does nothing any more.
      dead.socket.pause();
      await expect
        .poll(
          () =>
            connect(other.url).then(
              () => 'room',
              (error: unknown) => String(error),
            ),
          { timeout: 5_000, interval: 50 },
        )
        .toBe('room');
    } finally {
      await other.close();
    }
  });
});

describe('a connection', () => {
  it('must speak the protocol', async () => {
    await expect(
      new Promise((resolve, reject) => {
        const socket = new WebSocket(`${server.url.replace('http', 'ws')}/graphql`, 'graphql-ws');
        socket.once('open', resolve);
        socket.once('error', reject);
      }),
    ).rejects.toThrow('400');
    const client = await connect();
    client.socket.send('nonsense');
    expect(await client.closed).toBe(4400);
  });

  it('must be to the right address', async () => {
    await expect(
      new Promise((resolve, reject) => {
        const socket = new WebSocket(`${server.url.replace('http', 'ws')}/other`, 'graphql-transport-ws');
        socket.once('open', resolve);
        socket.once('error', reject);
      }),
    ).rejects.toThrow('404');
  });

  it('is passed over where another protocol is asked for, as Java does with every first request', async () => {
    const { port } = new URL(server.url);
    const ask = (head: string, body = ''): Promise<string> =>
      new Promise((resolve, reject) => {
        const socket = createConnection({ host: '127.0.0.1', port: Number(port) }, () => {
          socket.write(
            `${head}\r\nhost: x\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n\r\n${body}`,
          );
        });
        socket.on('error', reject);
        let answer = '';
        socket.on('data', (data) => {
          answer += data.toString();
          const [, length] = /content-length: (\d+)/i.exec(answer) ?? [];
          if (answer.length < Number(length) + answer.indexOf('\r\n\r\n') + 4) return;
          socket.destroy();
          resolve(answer);
        });
      });
    const query = '{"query":"{ ledger { id } }"}';
    const post = `POST /graphql HTTP/1.1\r\ncontent-type: application/json`;
    for (const answer of [
      await ask(`GET /graphql?query=${encodeURIComponent('{ ledger { id } }')} HTTP/1.1`),
      await ask(`${post}\r\ncontent-length: ${query.length}`, query),
      await ask(`${post}\r\ntransfer-encoding: chunked`, `${query.length.toString(16)}\r\n${query}\r\n0\r\n\r\n`),
    ]) {
      expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
      expect(answer).toContain('"ledger":{"id":"');
    }
  });

  it('is not for pages of other origins where no key is needed', async () => {
    await expect(connect(server.url, {}, { origin: 'http://evil.example' })).rejects.toThrow('403');
    await connect(server.url, {}, { origin: server.url });
  });

  it('is closed when the server closes', async () => {
    const other = await startQueryServer({ database });
    const client = await connect(other.url);
    subscribe(client, '1', 'subscription { ledger { position } }');
    await client.next(isNext);
    await other.close();
    expect(await client.closed).toBe(1001);
  });

  it('needs a key where there are keys, in the first message or in the header', async () => {
    const keyed = await startQueryServer({ database, apiKeys: ['key-1'] });
    try {
      const none = await connect(keyed.url, {}, { 'expect-ack': 'no' });
      expect(await none.closed).toBe(4403);
      const wrong = await connect(keyed.url, { authorization: 'Bearer key-2' }, { 'expect-ack': 'no' });
      expect(await wrong.closed).toBe(4403);
      const inMessage = await connect(keyed.url, { authorization: 'Bearer key-1' });
      subscribe(inMessage, '1', 'subscription { ledger { id } }');
      await inMessage.next(isNext);
      await connect(keyed.url, {}, { authorization: 'Bearer key-1' });
      const early = await connect(keyed.url, null);
      subscribe(early, '1', 'subscription { ledger { id } }');
      expect(await early.closed).toBe(4401);
    } finally {
      await keyed.close();
    }
  });
});
