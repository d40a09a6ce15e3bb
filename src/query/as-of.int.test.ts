import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/support/database.js';
import { startQueryServer, type QueryServer } from '../../test/support/query-server.js';
import {
  accountOpened,
  blockConnected,
  blockDisconnected,
  chainOpened,
  deposit,
  hashNamed,
  transferSent,
  walletCreated,
} from '../../test/support/small-histories.js';

/*
 * Two confirmations make a deposit available. One transaction pays alice 5000, in block 2a and, after a reorg, in 3b.
 *
 *  position  event                          tip   alice: available / pending        bob
 *   1, 2     chain opened at 0, policy 2     0
 *   3, 4, 5  alice, bob, wallet w            0       0 / 0                            0
 *   6        block 1                         1       0 / 0                            0
 *   7        block 2a pays alice 5000        2a      0 / 5000                         0
 *   8        block 3a                        3a   5000 / 0   (2 confirmations)        0
 *   9        t1: alice sends bob 1000        3a   4000 / 0                         1000
 *  10        3a off                          2a  -1000 / 5000, frozen              1000
 *  11        2a off                          1   -1000 / 0, frozen                 1000
 *  12        block 2b                        2b  -1000 / 0, frozen                 1000
 *  13        block 3b, the same payment      3b  -1000 / 5000, frozen              1000
 *  14        block 4b                        4b   4000 / 0                         1000
 *  15        t2: bob sends alice 400         4b   4400 / 0                          600
 *  16        carol                           4b
 */
const HISTORY = [
  ...chainOpened(2),
  accountOpened('alice'),
  accountOpened('bob'),
  walletCreated('w'),
  blockConnected(1, '1', '0'),
  blockConnected(2, '2a', '1', deposit('a', 'alice', 5000)),
  blockConnected(3, '3a', '2a'),
  transferSent('t1', 'alice', 'bob', 1000),
  blockDisconnected(3, '3a', '2a', 4),
  blockDisconnected(2, '2a', '1', 3),
  blockConnected(2, '2b', '1'),
  blockConnected(3, '3b', '2b', deposit('a', 'alice', 5000)),
  blockConnected(4, '4b', '3b'),
  transferSent('t2', 'bob', 'alice', 400),
  accountOpened('carol'),
];
/** Positions are a second apart: position p is recorded at 00:00:p. */
const at = (seconds: string): string => `2026-01-01T00:00:${seconds}Z`;
const block = (name: string): string => hashNamed(`block ${name}`);
const PAYMENT = `IN:${hashNamed('transaction a')}:0`;

let database: TestDatabase;
let server: QueryServer;

beforeAll(async () => {
  database = await createTestDatabase();
  server = await startQueryServer({ database });
  expect(await server.tell(HISTORY)).toBe(16n);
});

afterAll(async () => {
  await server.close();
  await database.drop();
});

interface Answer {
  data?: Record<string, unknown> | null;
  errors?: { message: string; path?: string[]; extensions: { code: string; argument?: string } }[];
  extensions?: { ledger: { position: string; tipHeight: number | null; tipHash: string | null; fields?: object } };
}

async function ask(query: string, variables: object = {}): Promise<Answer> {
  const response = await fetch(`${server.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query, variables }),
  });
  return (await response.json()) as Answer;
}

type AsOf = Record<string, string | number>;

/** Alice's balances in short: `available/pending`, `!` where frozen. */
async function alice(asOf: AsOf): Promise<string> {
  const query = 'query ($asOf: AsOf) { account(id: "alice", asOf: $asOf) { availableSats pendingSats frozen } }';
  const answer = await ask(query, { asOf });
  expect(answer.errors).toBeUndefined();
  const account = answer.data?.['account'] as { availableSats: string; pendingSats: string; frozen: boolean } | null;
  if (account === null) return 'none';
  return `${account.availableSats}/${account.pendingSats}${account.frozen ? '!' : ''}`;
}

describe('balances', () => {
  it.each<[string, AsOf, string, { position: string; tip: string | null }]>([
    ['before the first event', { position: '0' }, 'none', { position: '0', tip: null }],
    ['before the account', { position: '2' }, 'none', { position: '2', tip: '0' }],
    ['a position', { position: '7' }, '0/5000', { position: '7', tip: '2a' }],
    ['a position', { position: '8' }, '5000/0', { position: '8', tip: '3a' }],
    ['a position', { position: '9' }, '4000/0', { position: '9', tip: '3a' }],
    ['a position within the reorg', { position: '10' }, '-1000/5000!', { position: '10', tip: '2a' }],
    ['a position within the reorg', { position: '11' }, '-1000/0!', { position: '11', tip: '1' }],
    ['a position', { position: '13' }, '-1000/5000!', { position: '13', tip: '3b' }],
    ['a position', { position: '14' }, '4000/0', { position: '14', tip: '4b' }],
    ['the last position', { position: '16' }, '4400/0', { position: '16', tip: '4b' }],
    ['the very time of an event', { time: at('09') }, '4000/0', { position: '9', tip: '3a' }],
    ['a time just before an event', { time: at('08.999') }, '5000/0', { position: '8', tip: '3a' }],
    ['a time with a zone', { time: '2026-01-01T02:00:07.5+02:00' }, '0/5000', { position: '7', tip: '2a' }],
    ['a time before the first event', { time: '2025-12-31T23:59:59Z' }, 'none', { position: '0', tip: null }],
    ['a time after the last event', { time: '2026-02-01T00:00:00Z' }, '4400/0', { position: '16', tip: '4b' }],
    ['a height', { height: 0 }, '0/0', { position: '16', tip: '0' }],
    ['a height', { height: 2 }, '0/0', { position: '16', tip: '2b' }],
    // t1 was recorded when the tip was at 3; the deposit has one confirmation at 3.
    ['a height', { height: 3 }, '-1000/5000!', { position: '16', tip: '3b' }],
    ['the height of the tip', { height: 4 }, '4400/0', { position: '16', tip: '4b' }],
    ['height and position', { height: 2, position: '8' }, '0/5000', { position: '8', tip: '2a' }],
    ['height and position', { height: 3, position: '8' }, '5000/0', { position: '8', tip: '3a' }],
    ['height and position', { height: 3, position: '9' }, '4000/0', { position: '9', tip: '3a' }],
    ['height below what the books recorded', { height: 2, position: '9' }, '0/5000', { position: '9', tip: '2a' }],
    ['height and position after a reorg', { height: 2, position: '12' }, '0/0', { position: '12', tip: '2b' }],
    ['height and time', { height: 2, time: at('09.5') }, '0/5000', { position: '9', tip: '2a' }],
    ['a connected block', { blockHash: block('3b') }, '-1000/5000!', { position: '16', tip: '3b' }],
    // Abandoned: the branch as it was last, and what the books recorded at or below the height, by now.
    ['an abandoned block', { blockHash: block('2a') }, '0/5000', { position: '16', tip: '2a' }],
    ['an abandoned tip', { blockHash: block('3a') }, '4000/0', { position: '16', tip: '3a' }],
    ['block and position', { blockHash: block('3a'), position: '8' }, '5000/0', { position: '8', tip: '3a' }],
    ['block and position', { blockHash: block('2a'), position: '10' }, '0/5000', { position: '10', tip: '2a' }],
    ['block and time', { blockHash: block('2a'), time: at('09') }, '0/5000', { position: '9', tip: '2a' }],
    ['nothing at all', {}, '4400/0', { position: '16', tip: '4b' }],
  ])('as of %s %j', async (_what, asOf, expected, read) => {
    expect(await alice(asOf)).toBe(expected);
    const answer = await ask('query ($asOf: AsOf) { ledger(asOf: $asOf) { position tip { hash } } }', { asOf });
    const tipHash = read.tip === null ? null : block(read.tip);
    expect(answer.data?.['ledger']).toEqual({
      position: read.position,
      tip: tipHash === null ? null : { hash: tipHash },
    });
    expect(answer.extensions?.ledger).toMatchObject({ position: read.position, tipHash });
  });

  it('opens an account at the height of the tip then, not below', async () => {
    const query =
      'query ($asOf: AsOf) { account(id: "carol", asOf: $asOf) { id } accounts(asOf: $asOf) { edges { node { id } } } }';
    const ids = async (asOf: AsOf): Promise<unknown> => (await ask(query, { asOf })).data;
    const list = (...names: string[]): object => ({ edges: names.map((id) => ({ node: { id } })) });
    expect(await ids({ height: 4 })).toEqual({ account: { id: 'carol' }, accounts: list('carol', 'bob', 'alice') });
    expect(await ids({ height: 3 })).toEqual({ account: null, accounts: list('bob', 'alice') });
    expect(await ids({ position: '15' })).toEqual({ account: null, accounts: list('bob', 'alice') });
  });
});

describe('what is not known, lies in the future, or is said twice is refused and named', () => {
  it.each<[AsOf, string, string]>([
    [{ position: '17' }, 'asOf.position', '17 lies in the future: the ledger is at position 16'],
    [{ position: '9000000000000000000' }, 'asOf.position', 'lies in the future'],
    [{ time: '2999-01-01T00:00:00Z' }, 'asOf.time', 'lies in the future'],
    [{ height: 5 }, 'asOf.height', '5 lies in the future: at position 16 the tip is at height 4'],
    [{ height: 2147483647 }, 'asOf.height', 'lies in the future'],
    [{ height: -1 }, 'asOf.height', '-1 is not known'],
    [{ height: 4, position: '9' }, 'asOf.height', '4 lies in the future: at position 9 the tip is at height 3'],
    [{ height: 3, position: '11' }, 'asOf.height', '3 lies in the future: at position 11 the tip is at height 1'],
    [{ height: 0, position: '0' }, 'asOf.height', '0 is not known: there was no chain at position 0'],
    [{ blockHash: block('nowhere') }, 'asOf.blockHash', 'is not known'],
    [
      { blockHash: block('2a'), position: '6' },
      'asOf.blockHash',
      'is not known: no such block was connected by position 6',
    ],
    [{ blockHash: block('3b'), time: at('12') }, 'asOf.blockHash', 'is not known'],
    [{ position: '9', time: at('09') }, 'asOf', 'give one of them'],
    [{ height: 3, blockHash: block('3b') }, 'asOf', 'give one of them'],
  ])('%j', async (asOf, argument, message) => {
    const answer = await ask('query ($asOf: AsOf) { account(id: "alice", asOf: $asOf) { id } }', { asOf });
    expect(answer.errors).toHaveLength(1);
    expect(answer.errors?.[0]?.extensions).toEqual({ code: 'BAD_USER_INPUT', argument });
    expect(answer.errors?.[0]?.message).toContain(message);
    expect(answer.data).toEqual({ account: null });
  });

  it.each([
    '{ position: 9 }',
    '{ position: "09" }',
    '{ position: "-1" }',
    '{ position: "9223372036854775807" }',
    '{ time: "2026-02-30T00:00:00Z" }',
    '{ time: "2026-01-01 00:00:00Z" }',
    '{ time: "yesterday" }',
    '{ time: 1767225600 }',
    `{ blockHash: "${block('3b').toUpperCase()}" }`,
    '{ blockHash: "00" }',
    '{ height: "3" }',
    '{ height: 1.5 }',
    '{ hight: 3 }',
  ])('%s is not even asked', async (asOf) => {
    const answer = await ask(`{ account(id: "alice", asOf: ${asOf}) { id } }`);
    expect(answer.errors?.length).toBeGreaterThan(0);
    expect(answer).not.toHaveProperty('data');
  });
});

it('refuses what is no position, height or hash in variables too, also when the query is compiled', async () => {
  const query = 'query ($asOf: AsOf) { account(id: "alice", asOf: $asOf) { frozen } }';
  for (const asOf of [
    { position: '1' },
    { position: 9 },
    { position: 'x' },
    { blockHash: 'AB' },
    { time: 'now' },
    { no: 1 },
  ]) {
    for (let time = 1; time <= 3; time += 1) {
      const answer = await ask(query, { asOf });
      if ('position' in asOf && asOf.position === '1') continue;
      expect(answer).not.toHaveProperty('data');
      expect(answer.errors?.[0]?.extensions.code).toMatch(/^(BAD_USER_INPUT|GRAPHQL_VALIDATION_FAILED)$/);
    }
  }
});

describe('what is nested is read at the same moment', () => {
  const QUERY = `query ($asOf: AsOf) {
    account(id: "alice", asOf: $asOf) { entries { edges { node { position type amountSats balanceSats } } } }
    wallet(id: "w", asOf: $asOf) {
      confirmedSats unconfirmedSats immatureSats reservedSats
      coins { edges { node { height confirmations } } }
    }
    transfers(asOf: $asOf) { edges { node { id status confirmations block { hash height connected transfers { id status } } } } }
    ledger(asOf: $asOf) { customersSats walletsSats differenceSats tip { hash transfers { id } } }
  }`;

  interface Shape {
    account: { entries: { edges: { node: Record<string, string> }[] } };
    wallet: { confirmedSats: string; unconfirmedSats: string; coins: { edges: { node: object }[] } };
    transfers: { edges: { node: { status: string; confirmations: number; block: object | null } }[] };
    ledger: Record<string, unknown>;
  }

  async function view(asOf: AsOf): Promise<{
    entries: string[];
    wallet: string;
    coins: object[];
    transfers: object[];
    ledger: Record<string, unknown>;
  }> {
    const answer = await ask(QUERY, { asOf });
    expect(answer.errors).toBeUndefined();
    const data = answer.data as unknown as Shape;
    return {
      entries: data.account.entries.edges.map(
        ({ node }) => `${node['position']} ${node['type']} ${node['amountSats']} = ${node['balanceSats']}`,
      ),
      wallet: `${data.wallet.confirmedSats}/${data.wallet.unconfirmedSats}`,
      coins: data.wallet.coins.edges.map(({ node }) => node),
      transfers: data.transfers.edges.map(({ node }) => node),
      ledger: data.ledger,
    };
  }
  const inBlock = (name: string, height: number, confirmations: number): object => ({
    id: PAYMENT,
    status: 'CONFIRMED',
    confirmations,
    block: {
      hash: block(name),
      height,
      connected: true,
      transfers: [{ id: PAYMENT, status: 'CONFIRMED' }],
    },
  });
  const orphaned = { id: PAYMENT, status: 'ORPHANED', confirmations: 0, block: null };

  it('now: everything that was written, taken back included', async () => {
    expect(await view({})).toEqual({
      entries: [
        '15 transfer-received 400 = 4400',
        '13 deposit 5000 = 4000',
        '11 deposit-reversed -5000 = -1000',
        '9 transfer-sent -1000 = 4000',
        '7 deposit 5000 = 5000',
      ],
      wallet: '5000/0',
      coins: [{ height: 3, confirmations: 2 }],
      transfers: [inBlock('3b', 3, 2)],
      ledger: {
        customersSats: '5000',
        walletsSats: '5000',
        differenceSats: '0',
        tip: { hash: block('4b'), transfers: [] },
      },
    });
  });

  it('a position before the reorg', async () => {
    expect(await view({ position: '8' })).toEqual({
      entries: ['7 deposit 5000 = 5000'],
      wallet: '5000/0',
      coins: [{ height: 2, confirmations: 2 }],
      transfers: [inBlock('2a', 2, 2)],
      ledger: {
        customersSats: '5000',
        walletsSats: '5000',
        differenceSats: '0',
        tip: { hash: block('3a'), transfers: [] },
      },
    });
  });

  it('a position at which the payment had lost its block', async () => {
    expect(await view({ position: '12' })).toEqual({
      entries: ['11 deposit-reversed -5000 = -1000', '9 transfer-sent -1000 = 4000', '7 deposit 5000 = 5000'],
      wallet: '0/5000',
      coins: [{ height: null, confirmations: 0 }],
      transfers: [orphaned],
      ledger: { customersSats: '0', walletsSats: '0', differenceSats: '0', tip: { hash: block('2b'), transfers: [] } },
    });
  });

  it('a height below the payment on the branch of today: seen before, in no block yet', async () => {
    expect(await view({ height: 2 })).toEqual({
      entries: [],
      wallet: '0/5000',
      coins: [{ height: null, confirmations: 0 }],
      transfers: [orphaned],
      ledger: { customersSats: '0', walletsSats: '0', differenceSats: '0', tip: { hash: block('2b'), transfers: [] } },
    });
  });

  it('a height: only what counts there, with balances that add up', async () => {
    expect(await view({ height: 3 })).toEqual({
      entries: ['13 deposit 5000 = 4000', '9 transfer-sent -1000 = -1000'],
      wallet: '5000/0',
      coins: [{ height: 3, confirmations: 1 }],
      transfers: [inBlock('3b', 3, 1)],
      ledger: {
        customersSats: '5000',
        walletsSats: '5000',
        differenceSats: '0',
        tip: { hash: block('3b'), transfers: [{ id: PAYMENT }] },
      },
    });
    expect((await view({ height: 4 })).entries).toEqual([
      '15 transfer-received 400 = 4400',
      '13 deposit 5000 = 4000',
      '9 transfer-sent -1000 = -1000',
    ]);
    expect((await view({ height: 1 })).transfers).toEqual([]);
  });

  it('an abandoned block: its branch, as if the other had never come', async () => {
    expect(await view({ blockHash: block('3a') })).toEqual({
      entries: ['9 transfer-sent -1000 = 4000', '7 deposit 5000 = 5000'],
      wallet: '5000/0',
      coins: [{ height: 2, confirmations: 2 }],
      transfers: [inBlock('2a', 2, 2)],
      ledger: {
        customersSats: '5000',
        walletsSats: '5000',
        differenceSats: '0',
        tip: { hash: block('3a'), transfers: [] },
      },
    });
  });

  it('pages of entries as of a height go on with the right balance', async () => {
    const query = `query ($after: String) { account(id: "alice", asOf: { height: 4 }) {
      entries(first: 1, after: $after) { edges { cursor node { position balanceSats } } pageInfo { hasNextPage hasPreviousPage } } } }`;
    const seen: string[] = [];
    let after: string | null = null;
    for (;;) {
      const answer = await ask(query, { after });
      const { edges, pageInfo } = (
        answer.data?.['account'] as {
          entries: {
            edges: { cursor: string; node: { position: string; balanceSats: string } }[];
            pageInfo: { hasNextPage: boolean; hasPreviousPage: boolean };
          };
        }
      ).entries;
      expect(pageInfo.hasPreviousPage).toBe(after !== null);
      for (const { cursor, node } of edges) {
        seen.push(`${node.position}=${node.balanceSats}`);
        after = cursor;
      }
      if (!pageInfo.hasNextPage) break;
    }
    expect(seen).toEqual(['15=4400', '13=4000', '9=-1000']);
  });

  it('fields of one request may ask about different moments; those that do not are all at one position', async () => {
    const answer = await ask(`{
      now: account(id: "alice") { availableSats }
      ledger { position }
      then: account(id: "alice", asOf: { position: "10" }) { availableSats entries(first: 1) { edges { node { position } } } }
      there: account(id: "alice", asOf: { blockHash: "${block('2a')}" }) { pendingSats }
      odd: account(id: "alice", asOf: { position: "99" }) { id }
    }`);
    expect(answer.data).toEqual({
      now: { availableSats: '4400' },
      ledger: { position: '16' },
      then: { availableSats: '-1000', entries: { edges: [{ node: { position: '9' } }] } },
      there: { pendingSats: '5000' },
      odd: null,
    });
    expect(answer.errors?.map(({ path }) => path)).toEqual([['odd']]);
    const now = { position: '16', tipHeight: 4, tipHash: block('4b') };
    expect(answer.extensions?.ledger).toEqual({
      ...now,
      fields: {
        now,
        ledger: now,
        then: { position: '10', tipHeight: 2, tipHash: block('2a') },
        there: { position: '16', tipHeight: 2, tipHash: block('2a') },
      },
    });
  });
});

describe('blocks', () => {
  it('are found by height on the branch of the moment, and by hash on any', async () => {
    const byHeight = async (height: number, asOf: AsOf): Promise<unknown> =>
      (await ask('query ($h: Int, $asOf: AsOf) { block(height: $h, asOf: $asOf) { hash } }', { h: height, asOf })).data;
    expect(await byHeight(2, {})).toEqual({ block: { hash: block('2b') } });
    expect(await byHeight(2, { position: '8' })).toEqual({ block: { hash: block('2a') } });
    expect(await byHeight(2, { blockHash: block('3a') })).toEqual({ block: { hash: block('2a') } });
    expect(await byHeight(3, { height: 2 })).toEqual({ block: null });
    expect(await byHeight(5, {})).toEqual({ block: null });
    const byHash = async (hash: string, asOf: AsOf): Promise<unknown> =>
      (
        await ask(
          'query ($hash: BlockHash, $asOf: AsOf) { block(hash: $hash, asOf: $asOf) { height prevHash time connected transfers { id status } } }',
          { hash, asOf },
        )
      ).data?.['block'];
    expect(await byHash(block('2a'), {})).toEqual({
      height: 2,
      prevHash: block('1'),
      time: '2023-11-14T22:13:22.000Z',
      connected: false,
      transfers: [{ id: PAYMENT, status: 'CONFIRMED' }],
    });
    expect(await byHash(block('2a'), { position: '9' })).toMatchObject({ connected: true });
    expect(await byHash(block('2a'), { position: '12' })).toMatchObject({
      connected: false,
      transfers: [{ id: PAYMENT, status: 'ORPHANED' }],
    });
    expect(await byHash(block('2b'), { position: '11' })).toBeNull();
    expect(await byHash(block('4b'), { height: 3 })).toBeNull();
  });

  it('say so where the ledger was never told', async () => {
    const answer = await ask('{ block(height: 0) { height hash prevHash } }');
    expect(answer.data).toEqual({ block: null });
    expect(answer.errors?.[0]?.extensions.code).toBe('NOT_KNOWN');
    expect((await ask('{ block(height: 0) { height } }')).data).toEqual({ block: { height: 0 } });
  });

  it('are asked for by height or by hash', async () => {
    for (const args of ['', `(height: 2, hash: "${block('2a')}")`]) {
      expect((await ask(`{ block${args} { hash } }`)).errors?.[0]?.extensions.code).toBe('BAD_USER_INPUT');
    }
  });

  it('list the reorg with both branches', async () => {
    const answer = await ask('{ reorgs { edges { node { position forkHeight depth disconnected connected } } } }');
    expect(answer.data?.['reorgs']).toEqual({
      edges: [
        {
          node: {
            position: '10',
            forkHeight: 1,
            depth: 2,
            disconnected: [block('3a'), block('2a')],
            // All of the same work: 2b and 3b only draw level, 4b outweighs.
            connected: [block('2b'), block('3b'), block('4b')],
          },
        },
      ],
    });
  });
});

describe('balances of a wallet by height', () => {
  const balances = async (from: number, to: number, asOf: AsOf = {}): Promise<Answer> =>
    ask(
      'query ($from: Int!, $to: Int!, $asOf: AsOf) { wallet(id: "w", asOf: $asOf) { balances(fromHeight: $from, toHeight: $to) { height blockHash confirmedSats } } }',
      { from, to, asOf },
    );

  it('have every height, with the block of the branch', async () => {
    const rows = (...steps: [string, string][]): object => ({
      wallet: {
        balances: steps.map(([name, confirmedSats]) => ({
          height: Number(name.replace(/[ab]/, '')),
          blockHash: block(name),
          confirmedSats,
        })),
      },
    });
    expect((await balances(0, 4)).data).toEqual(
      rows(['0', '0'], ['1', '0'], ['2b', '0'], ['3b', '5000'], ['4b', '5000']),
    );
    expect((await balances(4, 4)).data).toEqual(rows(['4b', '5000']));
    expect((await balances(1, 3, { blockHash: block('3a') })).data).toEqual(
      rows(['1', '0'], ['2a', '5000'], ['3a', '5000']),
    );
    expect((await balances(1, 2, { position: '12' })).data).toEqual(rows(['1', '0'], ['2b', '0']));
  });

  it.each<[number, number, AsOf, string]>([
    [0, 5, {}, 'toHeight: 5 lies in the future'],
    [0, 4, { height: 3 }, 'toHeight: 4 lies in the future'],
    [3, 2, {}, 'toHeight: 2 is below fromHeight 3'],
    [-1, 2, {}, 'fromHeight: -1 is not a height'],
    [0, 10_000, {}, 'at most 10000 heights'],
  ])('%i to %i as of %j are refused', async (from, to, asOf, message) => {
    const [error] = (await balances(from, to, asOf)).errors ?? [];
    expect(error?.extensions.code).toBe('BAD_USER_INPUT');
    expect(error?.message).toContain(message);
  });
});

describe('REST reads', () => {
  const get = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(`${server.url}${path}`, { headers });

  it('answer as of any moment too', async () => {
    const now = await get('/v1/accounts/alice');
    expect(now.headers.get('ledger-position')).toBe('16');
    expect(await now.json()).toEqual({
      accountId: 'alice',
      openedAt: at('03.000'),
      metadata: {},
      availableSats: '4400',
      reservedSats: '0',
      pendingSats: '0',
      frozen: false,
    });
    for (const [query, available] of [
      ['position=10', '-1000'],
      [`time=${at('09')}`, '4000'],
      ['height=3', '-1000'],
      [`blockHash=${block('3a')}`, '4000'],
      ['height=3&position=9', '4000'],
    ]) {
      expect(await (await get(`/v1/accounts/alice?${query}`)).json()).toMatchObject({ availableSats: available });
    }
    const wallet = await get('/v1/wallets/w?position=12');
    expect(wallet.headers.get('ledger-position')).toBe('12');
    expect(await wallet.json()).toMatchObject({ walletId: 'w', confirmedSats: '0', unconfirmedSats: '5000' });
  });

  it('refuse with problems', async () => {
    for (const [path, status, code, pointer] of [
      ['/v1/accounts/nobody', 404, 'account-not-found', undefined],
      ['/v1/accounts/carol?height=3', 404, 'account-not-found', undefined],
      ['/v1/wallets/none', 404, 'wallet-not-found', undefined],
      ['/v1/accounts/bad%20id', 400, 'validation-failed', '/accountId'],
      ['/v1/accounts/alice?height=5', 400, 'validation-failed', '/height'],
      ['/v1/accounts/alice?position=17', 400, 'validation-failed', '/position'],
      ['/v1/accounts/alice?position=x', 400, 'validation-failed', '/position'],
      ['/v1/accounts/alice?position=1&position=2', 400, 'validation-failed', '/position'],
      ['/v1/accounts/alice?position=1&time=2026-01-01T00:00:00Z', 400, 'validation-failed', '/'],
      ['/v1/accounts/alice?hight=5', 400, 'validation-failed', '/hight'],
    ] as const) {
      const response = await get(path);
      expect([path, response.status, response.headers.get('content-type')]).toEqual([
        path,
        status,
        'application/problem+json; charset=utf-8',
      ]);
      const problem = (await response.json()) as { code: string; errors?: { pointer: string }[] };
      expect(problem.code).toBe(code);
      expect(problem.errors?.[0]?.pointer).toBe(pointer);
    }
  });

  it('have a tag that changes with the answer, not with the position', async () => {
    const tag = (await get('/v1/accounts/bob')).headers.get('etag') ?? '';
    expect(tag).toMatch(/^"[A-Za-z0-9_-]{22}"$/);
    await server.tell([transferSent('t3', 'alice', 'carol', 1)]);
    const same = await get('/v1/accounts/bob', { 'if-none-match': `"other", W/${tag}` });
    expect(same.status).toBe(304);
    expect(same.headers.get('ledger-position')).toBe('17');
    expect(same.headers.get('etag')).toBe(tag);
    expect(await same.text()).toBe('');
    await server.tell([transferSent('t4', 'alice', 'bob', 1)]);
    const changed = await get('/v1/accounts/bob', { 'if-none-match': tag });
    expect(changed.status).toBe(200);
    expect(changed.headers.get('etag')).not.toBe(tag);
    // What was asked about the past stays what it was.
    expect(await alice({ position: '16' })).toBe('4400/0');
  });
});
