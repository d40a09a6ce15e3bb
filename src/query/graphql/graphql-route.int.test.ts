import { getIntrospectionQuery } from 'graphql';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../../test/support/database.js';
import { startQueryServer, type QueryServer } from '../../../test/support/query-server.js';
import {
  accountOpened,
  blockConnected,
  chainOpened,
  deposit,
  transferSent,
  walletCreated,
} from '../../../test/support/small-histories.js';
import type { ReadModels } from '../ports.js';

let database: TestDatabase;
let server: QueryServer;
/** Set by a test: what the read models pretend to have reached. */
let heldAt: bigint | undefined;
let broken = false;

/** Real read models that can be told to stand still, or to fail. */
function holdable(readModels: ReadModels): ReadModels {
  return {
    ...readModels,
    reached: async (names) => {
      if (broken) throw new Error('password=hunter2 at /home/secret');
      const reached = await readModels.reached(names);
      return heldAt !== undefined && heldAt < reached ? heldAt : reached;
    },
    waitFor: async (position, names, timeoutMs) => {
      if (heldAt === undefined || heldAt >= position) return readModels.waitFor(position, names, timeoutMs);
      await new Promise((resolve) => setTimeout(resolve, timeoutMs));
      return heldAt;
    },
  };
}

beforeAll(async () => {
  database = await createTestDatabase();
  server = await startQueryServer({ database, wrapReadModels: holdable });
  await server.tell([
    ...chainOpened(1),
    accountOpened('alice'),
    accountOpened('bob'),
    walletCreated('w'),
    blockConnected(1, '1', '0', deposit('a', 'alice', 1_000_000)),
    transferSent('t1', 'alice', 'bob', 10),
  ]);
});

afterAll(async () => {
  await server.close();
  await database.drop();
});

interface Answer {
  status: number;
  headers: Headers;
  body: {
    data?: Record<string, unknown> | null;
    errors?: { message: string; extensions: { code: string } }[];
    code?: string;
    detail?: string;
    position?: string;
  };
}

async function send(body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  const response = await fetch(`${server.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  return { status: response.status, headers: response.headers, body: (await response.json()) as Answer['body'] };
}

const code = (answer: Answer): string | undefined => answer.body.errors?.[0]?.extensions.code;

describe('limits', () => {
  const nested = (levels: number): string =>
    `{ transfers(first: 1) { edges { node { ${'block { transfers { '.repeat(levels)} id ${'} }'.repeat(levels)} } } } }`;

  it.each<[string, string]>([
    ['deep', nested(6)],
    [
      'deep through fragments',
      `{ transfers { edges { node { ...a } } } }
      fragment a on Transfer { block { transfers { ...b } } } fragment b on Transfer { block { transfers { ...c } } }
      fragment c on Transfer { block { transfers { ...d } } } fragment d on Transfer { block { transfers { block { hash } } } }`,
    ],
    ['wide', '{ accounts(first: 500) { edges { node { entries(first: 500) { edges { node { position } } } } } } }'],
    [
      'wide by default pages',
      '{ accounts { edges { node { entries(first: 500) { edges { node { position } } } } } } }',
    ],
    ['lists that have no pages', '{ transfers(first: 500) { edges { node { block { transfers { id } } } } } }'],
    ['heights', '{ wallets(first: 500) { edges { node { balances(fromHeight: 0, toHeight: 9999) { height } } } } }'],
    ['aliases', `{ ledger { ${Array.from({ length: 51 }, (_, n) => `a${n}: id`).join(' ')} } }`],
    [
      'the same question again and again',
      `{ ${Array.from({ length: 21 }, (_, n) => `a${n}: ledger { id }`).join(' ')} }`,
    ],
    [
      'a fragment that doubles',
      `{ ledger { ...f9 } } fragment f0 on Ledger { id position }
      ${Array.from({ length: 9 }, (_, n) => `fragment f${n + 1} on Ledger { ...f${n} ...f${n} }`).join('\n')}`,
    ],
    ['long', `{ ledger { id } } #${'x'.repeat(20_000)}`],
  ])('refuse what is %s', async (_what, query) => {
    const answer = await send({ query });
    expect(code(answer)).toBe('QUERY_TOO_COMPLEX');
    expect(answer.body).not.toHaveProperty('data');
  });

  it('refuse pages by variable as by number', async () => {
    const query =
      'query ($n: Int) { accounts(first: $n) { edges { node { entries(first: $n) { edges { node { position } } } } } } }';
    expect(code(await send({ query, variables: { n: 400 } }))).toBe('QUERY_TOO_COMPLEX');
    expect((await send({ query, variables: { n: 100 } })).body.errors).toBeUndefined();
    expect(code(await send({ query, variables: { n: 400 } }))).toBe('QUERY_TOO_COMPLEX');
  });

  it.each([0, -1, 501])('refuse a page of %i', async (first) => {
    const answer = await send({ query: `{ accounts(first: ${first}) { edges { node { id } } } }` });
    expect(code(answer)).toBe('BAD_USER_INPUT');
  });

  it('refuse too many tokens, and what circles', async () => {
    expect(code(await send({ query: `{ ledger { ${'id '.repeat(2_100)} } }` }))).toBe('GRAPHQL_PARSE_FAILED');
    const circle = '{ ledger { ...a } } fragment a on Ledger { ...b } fragment b on Ledger { ...a }';
    expect(code(await send({ query: circle }))).toBe('GRAPHQL_VALIDATION_FAILED');
  });

  it('refuse a batch', async () => {
    const answer = await send([{ query: '{ ledger { id } }' }, { query: '{ ledger { id } }' }]);
    expect(answer.status).toBe(400);
    expect(answer.body.code).toBe('request-malformed');
  });

  it('let sensible questions through: introspection as tools ask it, and the deepest of our own', async () => {
    const introspection = await send({ query: getIntrospectionQuery({ inputValueDeprecation: true, oneOf: true }) });
    expect(introspection.body.errors).toBeUndefined();
    const { body } = await send({ query: nested(2) });
    expect(body.errors).toBeUndefined();
  });
});

describe('HTTP', () => {
  it('answers in the type that is asked for, with the status that goes with it', async () => {
    const graphqlResponse = { accept: 'application/graphql-response+json' };
    for (const [headers, query, type, status] of [
      [graphqlResponse, '{ ledger { id } }', 'application/graphql-response+json', 200],
      [graphqlResponse, '{ nope }', 'application/graphql-response+json', 400],
      [graphqlResponse, '{', 'application/graphql-response+json', 400],
      [
        graphqlResponse,
        'query ($n: Int!) { accounts(first: $n) { edges { cursor } } }',
        'application/graphql-response+json',
        400,
      ],
      [
        graphqlResponse,
        '{ account(id: "alice", asOf: { position: "99" }) { id } }',
        'application/graphql-response+json',
        200,
      ],
      [{ accept: 'text/html, */*;q=0.8' }, '{ ledger { id } }', 'application/json', 200],
      [{ accept: 'application/json' }, '{ nope }', 'application/json', 200],
    ] as const) {
      // Twice: the second time it is compiled.
      for (let time = 1; time <= 3; time += 1) {
        const answer = await send({ query }, headers);
        expect([query, answer.status, answer.headers.get('content-type')]).toEqual([
          query,
          status,
          `${type}; charset=utf-8`,
        ]);
        expect('data' in answer.body).toBe(status === 200 && query !== '{ nope }');
      }
    }
    expect((await send({ query: '{ ledger { id } }' }, { accept: 'text/html' })).status).toBe(406);
  });

  it('takes GET', async () => {
    const params = new URLSearchParams({
      query: 'query A { ledger { id } } query B($id: ID!) { account(id: $id) { id } }',
      operationName: 'B',
      variables: '{"id":"bob"}',
    });
    const response = await fetch(`${server.url}/graphql?${params.toString()}`);
    expect(await response.json()).toMatchObject({ data: { account: { id: 'bob' } } });
  });

  it('runs the operation that is named, every time', async () => {
    const query = 'query A { ledger { id } } query B { accounts(first: 1) { edges { node { id } } } }';
    for (let time = 1; time <= 3; time += 1) {
      expect((await send({ query, operationName: 'A' })).body.data).toEqual({ ledger: { id: 'main' } });
      expect(Object.keys((await send({ query, operationName: 'B' })).body.data ?? {})).toEqual(['accounts']);
    }
    for (const operationName of [undefined, 'C']) expect(code(await send({ query, operationName }))).toBeDefined();
  });

  it.each<[string, unknown]>([
    ['no JSON', '{'],
    ['no object', '"query"'],
    ['no query', {}],
    ['an empty query', { query: ' ' }],
    ['variables that are a list', { query: '{ ledger { id } }', variables: [] }],
    ['a name that is a number', { query: '{ ledger { id } }', operationName: 1 }],
  ])('refuses %s as a problem', async (_what, body) => {
    const answer = await send(body);
    expect(answer.status).toBe(400);
    expect(answer.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
  });

  it.each(['{"kind":"Document"}', '{}', '[]', '"x"', '1', 'null', ' { "kind": "Document", "definitions": [] }'])(
    'takes %s for no query',
    async (query) => {
      expect(code(await send({ query }))).toBe('GRAPHQL_PARSE_FAILED');
    },
  );

  it('has no subscriptions over plain HTTP', async () => {
    const answer = await send({ query: 'subscription { ledger { id } }' });
    expect(answer.body.errors?.[0]?.message).toContain('WebSocket');
  });

  it('says nothing of the inside', async () => {
    broken = true;
    try {
      const answer = await send({ query: '{ account(id: "alice") { id } }' });
      expect(code(answer)).toBe('INTERNAL_SERVER_ERROR');
      expect(JSON.stringify(answer.body)).not.toMatch(/hunter2|secret/);
    } finally {
      broken = false;
    }
  });

  it('needs a key where there are keys', async () => {
    const keyed = await startQueryServer({ database, apiKeys: ['key-1'] });
    try {
      for (const [path, status] of [
        ['/graphql?query={ledger{id}}', 401],
        ['/v1/accounts/alice', 401],
        ['/', 200],
        ['/graphiql', 200],
        ['/health/live', 200],
      ] as const) {
        expect([path, (await fetch(`${keyed.url}${path}`)).status]).toEqual([path, status]);
      }
      const headers = { authorization: 'Bearer key-1' };
      expect((await fetch(`${keyed.url}/graphql?query={ledger{id}}`, { headers })).status).toBe(200);
    } finally {
      await keyed.close();
    }
  });
});

describe('positions', () => {
  it('waits for Ledger-Min-Position', async () => {
    const head = await server.tell([transferSent('t2', 'alice', 'bob', 1)]);
    heldAt = head - 1n;
    setTimeout(() => {
      heldAt = undefined;
    }, 200);
    const answer = await send({ query: '{ ledger { position } }' }, { 'ledger-min-position': String(head) });
    // Held for the whole wait, the answer of the wait is what counts.
    expect([200, 503]).toContain(answer.status);
    const later = await send({ query: '{ ledger { position } }' }, { 'ledger-min-position': String(head) });
    expect(later.body.data).toEqual({ ledger: { position: String(head) } });
    expect(later.headers.get('ledger-position')).toBe(String(head));
  });

  it('gives up after two seconds, and says how far it is', async () => {
    const head = await server.outbox.head();
    heldAt = head - 1n;
    try {
      for (const request of [
        () => send({ query: '{ ledger { id } }' }, { 'ledger-min-position': String(head) }),
        async () => {
          const response = await fetch(`${server.url}/v1/accounts/alice`, {
            headers: { 'ledger-min-position': String(head) },
          });
          return {
            status: response.status,
            headers: response.headers,
            body: (await response.json()) as Answer['body'],
          };
        },
      ]) {
        const answer = await request();
        expect(answer.status).toBe(503);
        expect(answer.headers.get('ledger-position')).toBe(String(heldAt));
        expect(answer.headers.get('retry-after')).toBe('1');
        expect(answer.body).toMatchObject({ code: 'ledger-behind', position: String(heldAt) });
      }
      const asOf = await send({ query: `{ account(id: "bob", asOf: { position: "${head}" }) { id } }` });
      expect(asOf.body).toMatchObject({
        data: { account: null },
        errors: [{ extensions: { code: 'LEDGER_BEHIND', position: String(heldAt) } }],
      });
      // Without asking for more, the answer is at the position that there is.
      const now = await send({ query: '{ ledger { position } }' });
      expect(now.body.data).toEqual({ ledger: { position: String(heldAt) } });
    } finally {
      heldAt = undefined;
    }
  });

  it('answers nothing rather than an empty ledger while a model is being built', async () => {
    heldAt = 0n;
    try {
      const answer = await send({ query: '{ account(id: "alice") { id } }' });
      expect(code(answer)).toBe('LEDGER_BEHIND');
    } finally {
      heldAt = undefined;
    }
  });

  it.each(['-1', 'x', '01', '1.0'])('refuses Ledger-Min-Position: %s', async (header) => {
    const answer = await send({ query: '{ ledger { id } }' }, { 'ledger-min-position': header });
    expect(answer.status).toBe(400);
  });
});

describe('pages', () => {
  it('are whole and without repetition while rows arrive', async () => {
    await server.tell(Array.from({ length: 12 }, (_, n) => accountOpened(`page-${n}`)));
    const query =
      'query ($after: String) { accounts(first: 3, after: $after) { edges { cursor node { id } } pageInfo { hasNextPage endCursor } } }';
    const seen: string[] = [];
    let after: string | null = null;
    for (let page = 0; ; page += 1) {
      const answer = await send({ query, variables: { after } });
      const { edges, pageInfo } = answer.body.data?.['accounts'] as {
        edges: { cursor: string; node: { id: string } }[];
        pageInfo: { hasNextPage: boolean; endCursor: string };
      };
      seen.push(...edges.map(({ node }) => node.id));
      expect(pageInfo.endCursor).toBe(edges.at(-1)?.cursor);
      if (!pageInfo.hasNextPage) break;
      after = pageInfo.endCursor;
      await server.tell([accountOpened(`late-${page}`)]);
    }
    const old = Array.from({ length: 12 }, (_, n) => `page-${11 - n}`);
    expect(seen).toEqual([...old, 'bob', 'alice']);
  });

  it('go through events by every filter', async () => {
    const events = async (filter: string, first = 50): Promise<string[]> => {
      const answer = await send({
        query: `{ events(filter: ${filter}, first: ${first}) { edges { node { position type stream } } } }`,
      });
      expect(answer.body.errors).toBeUndefined();
      const { edges } = answer.body.data?.['events'] as { edges: { node: { position: string; type: string } }[] };
      return edges.map(({ node }) => `${node.position} ${node.type}`);
    };
    expect(await events('{ type: "BlockConnected" }')).toEqual(['6 BlockConnected']);
    expect(await events('{ stream: "account-alice", beforePosition: "8" }')).toEqual([
      '7 TransferSent',
      '3 AccountOpened',
    ]);
    expect(await events('{ afterPosition: "2", beforePosition: "5" }')).toEqual(['4 AccountOpened', '3 AccountOpened']);
    // Bob's stream has only his opening; the transfer that pays him is on alice's.
    expect(await events('{ accountId: "bob", beforePosition: "8" }')).toEqual(['7 TransferSent', '4 AccountOpened']);
    expect(await events('{ accountId: "alice", beforePosition: "8" }')).toEqual([
      '7 TransferSent',
      '6 BlockConnected',
      '3 AccountOpened',
    ]);
    expect(await events('{ accountId: "alice", beforePosition: "8" }', 1)).toEqual(['7 TransferSent']);
    expect(await events('{ accountId: "alice", type: "BlockConnected" }')).toEqual(['6 BlockConnected']);
    expect(await events('{ type: "Nothing" }')).toEqual([]);
    const nul = await send({
      query: 'query ($s: String) { events(filter: { stream: $s }) { edges { cursor } } }',
      variables: { s: 'a\u0000' },
    });
    expect(code(nul)).toBe('BAD_USER_INPUT');
  });

  it('go through transfers by every filter', async () => {
    const count = async (filter: string): Promise<number> => {
      const answer = await send({ query: `{ transfers(filter: ${filter}) { edges { node { id } } } }` });
      expect(answer.body.errors).toBeUndefined();
      return (answer.body.data?.['transfers'] as { edges: unknown[] }).edges.length;
    };
    const all = await send({ query: '{ transfers { edges { node { txid block { hash } } } } }' });
    const [edge] = (all.body.data?.['transfers'] as { edges: { node: { txid: string; block: { hash: string } } }[] })
      .edges;
    for (const [filter, expected] of [
      ['{}', 1],
      ['{ accountId: "alice" }', 1],
      ['{ accountId: "bob" }', 0],
      ['{ walletId: "w", direction: IN, status: CONFIRMED }', 1],
      ['{ direction: OUT }', 0],
      ['{ status: ORPHANED }', 0],
      ['{ status: CONFLICTED }', 0],
      ['{ status: UNCONFIRMED }', 0],
      [`{ txid: "${edge?.node.txid}" }`, 1],
      [`{ blockHash: "${edge?.node.block.hash}" }`, 1],
      [`{ blockHash: "${'0'.repeat(64)}" }`, 0],
      ['{ accountId: null, status: null }', 1],
    ] as const) {
      expect([filter, await count(filter)]).toEqual([filter, expected]);
    }
  });

  it.each([
    'x',
    '',
    Buffer.from('1:account').toString('base64url'),
    Buffer.from('1:account:x').toString('base64url'),
    Buffer.from('1:account:01').toString('base64url'),
    Buffer.from('2:account:1').toString('base64url'),
    Buffer.from('1:wallet:1').toString('base64url'),
    Buffer.from('1:account:%zz').toString('base64url'),
    `${Buffer.from('1:account:1').toString('base64url')}=`,
  ])('refuse the cursor %j', async (after) => {
    const answer = await send({
      query: 'query ($after: String) { accounts(after: $after) { edges { cursor } } }',
      variables: { after },
    });
    expect(answer.body.errors?.[0]).toMatchObject({ extensions: { code: 'BAD_USER_INPUT', argument: 'after' } });
  });
});

describe('health', () => {
  it('names each part, and is not ready when one is not', async () => {
    let nodeIsThere = true;
    const other = await startQueryServer({
      database,
      apiKeys: ['key-1'],
      health: [
        { name: 'database', check: () => Promise.resolve({ ok: true, detail: 'answers' }) },
        {
          name: 'node',
          check: () =>
            nodeIsThere ? Promise.resolve({ ok: true, detail: 'synced' }) : Promise.reject(new Error('secret')),
        },
      ],
    });
    try {
      const ready = await fetch(`${other.url}/health/ready`, { headers: { authorization: 'Bearer key-1' } });
      expect(await ready.json()).toEqual({
        status: 'ready',
        checks: { database: { ok: true, detail: 'answers' }, node: { ok: true, detail: 'synced' } },
      });
      nodeIsThere = false;
      const failed = await fetch(`${other.url}/health/ready`);
      expect(failed.status).toBe(503);
      expect(await failed.json()).toMatchObject({
        code: 'unavailable',
        detail: 'Not ready: node.',
        checks: { database: { ok: true }, node: { ok: false } },
      });
    } finally {
      await other.close();
    }
  });
});
