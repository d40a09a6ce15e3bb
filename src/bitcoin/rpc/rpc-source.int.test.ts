import { createServer, type Server } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { SourceError, type BlockSource } from '../block-source.js';
import { createBlockFetcher, headerHash } from './fetch-blocks.js';
import { GENESIS_HASHES } from './genesis-hashes.js';
import { RpcError } from './rpc-error.js';
import type { AskNode } from './ask-node.js';
import { createRpcSource, type RpcSourceOptions } from './rpc-source.js';
import { SOURCE_METHODS } from './rpc-methods.js';
import type { Timers } from './timers.js';

type Reply = { result: unknown } | { error: { code: number; message: string } };
type Node = (method: string, params: unknown[]) => Reply;

const servers: Server[] = [];
const sources: BlockSource[] = [];
afterEach(async () => {
  for (const source of sources.splice(0)) await source.close();
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

/** A node of the test over real HTTP: one function answers every call, alone or in a batch. */
async function sourceOf(node: Node, options: Partial<RpcSourceOptions> = {}): Promise<BlockSource> {
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      const asked = JSON.parse(body) as
        { id: number; method: string; params: unknown[] } | { id: number; method: string; params: unknown[] }[];
      const answer = ({ id, method, params }: { id: number; method: string; params: unknown[] }) => {
        expect(Object.keys(SOURCE_METHODS)).toContain(method);
        return { id, result: null, error: null, ...node(method, params) };
      };
      response.end(JSON.stringify(Array.isArray(asked) ? asked.map(answer) : answer(asked)));
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (typeof address !== 'object' || !address) throw new Error('no address');
  const source = createRpcSource({ url: `http://u:p@127.0.0.1:${address.port}`, network: 'regtest', ...options });
  sources.push(source);
  return source;
}

async function troubleOf(run: Promise<unknown>): Promise<string> {
  const error: unknown = await run.then(
    () => new Error('no trouble'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof SourceError)) throw error;
  return error.trouble;
}

const GENESIS = GENESIS_HASHES.regtest;
const healthy =
  (info: object = {}, hashes: Record<number, string> = {}): Node =>
  (method, [height]) => {
    if (method === 'getblockchaininfo') return { result: { chain: 'regtest', blocks: 9, ...info } };
    const hash = height === 0 ? GENESIS : hashes[Number(height)];
    return hash ? { result: hash } : { error: { code: -8, message: 'Block height out of range' } };
  };

describe('check', () => {
  it('is content with a node of the same network', async () => {
    await expect((await sourceOf(healthy())).check()).resolves.toBeUndefined();
  });

  it.each([
    ['another chain by name', healthy({ chain: 'main' }), {}, 'wrong-network'],
    [
      'a start block that is not on its chain',
      healthy({}, { 5: 'ff'.repeat(32) }),
      { startBlock: { height: 5, hash: 'ee'.repeat(32) } },
      'wrong-network',
    ],
    [
      'a start block on its chain',
      healthy({}, { 5: 'ee'.repeat(32) }),
      { startBlock: { height: 5, hash: 'ee'.repeat(32) } },
      undefined,
    ],
    [
      'a start block that it has not reached',
      healthy(),
      { startBlock: { height: 50, hash: 'ee'.repeat(32) } },
      'unavailable',
    ],
    [
      'pruned above what is needed',
      healthy({ pruned: true, pruneheight: 8 }),
      { firstNeededHeight: () => 7 },
      'pruned',
    ],
    [
      'pruned below what is needed',
      healthy({ pruned: true, pruneheight: 7 }),
      { firstNeededHeight: () => 7 },
      undefined,
    ],
    ['pruned at an unknown height', healthy({ pruned: true }), {}, 'pruned'],
    ['an unknown form', healthy({ chain: 5 }), {}, 'malformed-answer'],
  ])('%s', async (_, node, options, trouble) => {
    const run = (await sourceOf(node, options)).check();
    if (trouble === undefined) await expect(run).resolves.toBeUndefined();
    else expect(await troubleOf(run)).toBe(trouble);
  });

  it('compares the genesis block, whatever the node calls its chain', async () => {
    const node: Node = (method) =>
      method === 'getblockchaininfo' ? { result: { chain: 'regtest', blocks: 0 } } : { result: GENESIS_HASHES.mainnet };
    expect(await troubleOf((await sourceOf(node)).check())).toBe('wrong-network');
  });

  it('is "unavailable" while the node is loading', async () => {
    const loading: Node = () => ({ error: { code: -28, message: 'Loading block index' } });
    expect(await troubleOf((await sourceOf(loading)).check())).toBe('unavailable');
  });
});

describe('tip and hashAt', () => {
  it('never pairs a hash with the height of another block', async () => {
    let asked = 0;
    // A block comes between the two answers: the height is still the old one.
    const node: Node = (method, [height]) => {
      if (method === 'getblockcount') return { result: (asked += 1) === 1 ? 6 : 7 };
      if (method === 'getbestblockhash') return { result: '77'.repeat(32) };
      return { result: height === 7 ? '77'.repeat(32) : '66'.repeat(32) };
    };
    expect(await (await sourceOf(node)).tip()).toEqual({ hash: '77'.repeat(32), height: 7 });
  });

  it.each([
    ['Bitcoin Core', { code: -8, message: 'Block height out of range' }],
    ['btcd', { code: -1, message: 'Block number out of range' }],
  ])('knows no block above the tip, in the words of %s', async (_, error) => {
    expect(await (await sourceOf(() => ({ error }))).hashAt(99)).toBeUndefined();
  });

  it('does not take any other refusal for the end of the chain', async () => {
    const source = await sourceOf(() => ({ error: { code: -1, message: 'database is on fire' } }));
    expect(await troubleOf(source.hashAt(99))).toBe('unavailable');
  });

  it('refuses a hash that is none', async () => {
    expect(await troubleOf((await sourceOf(() => ({ result: 'AB' }))).hashAt(1))).toBe('malformed-answer');
  });
});

const block = (fill: number, length = 200): Buffer => Buffer.alloc(length, fill);
const serving =
  (blocks: readonly Buffer[]): Node =>
  (method, [hash]) => {
    const found = blocks.find((bytes) => headerHash(bytes) === hash);
    if (!found) return { error: { code: -5, message: 'Block not found' } };
    return { result: (method === 'getblock' ? found : found.subarray(0, 80)).toString('hex') };
  };

describe('headers and blocks', () => {
  const all = Array.from({ length: 30 }, (_, index) => block(index));

  it('come in the order asked', async () => {
    const source = await sourceOf(serving(all));
    const hashes = all.map(headerHash).reverse();
    expect(await source.blocks(hashes)).toEqual(all.toReversed());
    expect(await source.headers(hashes)).toEqual(all.toReversed().map((bytes) => bytes.subarray(0, 80)));
  });

  it('are undefined, or missing, where the node does not know the block', async () => {
    const source = await sourceOf(serving(all));
    const known = headerHash(block(3));
    expect(await source.headers(['ab'.repeat(32), known])).toEqual([undefined, block(3).subarray(0, 80)]);
    expect(await troubleOf(source.blocks([known, 'ab'.repeat(32)]))).toBe('block-missing');
  });

  it('are refused when their bytes hash to something else', async () => {
    const lying = await sourceOf((method) => ({ result: block(1, method === 'getblock' ? 200 : 80).toString('hex') }));
    expect(await troubleOf(lying.blocks([headerHash(block(2))]))).toBe('block-mismatch');
    expect(await troubleOf(lying.headers([headerHash(block(2))]))).toBe('block-mismatch');
  });

  it.each([
    ['not hex', 'xyz'],
    ['half a byte', '0'.repeat(401)],
    ['too short', '00'.repeat(80)],
    ['no text', 5],
    ['nothing', null],
  ])('are refused when they are %s', async (_, result) => {
    expect(await troubleOf((await sourceOf(() => ({ result }))).blocks(['ab'.repeat(32)]))).toBe('malformed-answer');
  });

  it('are "pruned" where the node says so', async () => {
    const source = await sourceOf(() => ({ error: { code: -1, message: 'Block not available (pruned data)' } }));
    expect(await troubleOf(source.blocks(['ab'.repeat(32)]))).toBe('pruned');
  });

  it('are asked for again in smaller batches where the answer is larger than allowed', async () => {
    const source = await sourceOf(serving(all), { maxAnswerBytes: 1_500 });
    expect(await source.blocks(all.map(headerHash))).toEqual(all);
  });
});

describe('batches of blocks', () => {
  it('are few at first, and then as many as their size allows', async () => {
    const sizes: number[] = [];
    const bytes = block(7, 100_000);
    const ask: AskNode = (calls) => {
      sizes.push(calls.length);
      return Promise.resolve(calls.map(() => ({ result: bytes.toString('hex') })));
    };
    const hash = headerHash(bytes);
    await createBlockFetcher(ask)(Array.from({ length: 100 }, () => hash));
    // 16 MiB at twice 100 kB of hex each.
    expect(sizes).toEqual([4, 41, 41, 14]);
  });

  it('keep the refusal of one block apart from the others', async () => {
    const ask: AskNode = (calls) =>
      Promise.resolve(calls.map(({ method }) => new RpcError(method, -32601, 'Method not found')));
    await expect(createBlockFetcher(ask)(['ab'.repeat(32)])).rejects.toBeInstanceOf(RpcError);
  });
});

describe('waking', () => {
  /** Timers that run when the test says so. */
  function manualTimers() {
    const due: (() => void)[] = [];
    const timers: Timers = {
      after(milliseconds, callback) {
        if (milliseconds !== 777) return () => undefined;
        due.push(callback);
        return () => void due.splice(due.indexOf(callback), 1);
      },
    };
    return { timers, due };
  }

  it('comes with another tip, with the beginning of trouble and with its end, and not otherwise', async () => {
    const { timers, due } = manualTimers();
    let state: Reply = { result: '11'.repeat(32) };
    const source = await sourceOf(() => state, { timers, pollIntervalMs: 777 });
    const woken: string[] = [];
    let now = '';
    const stop = source.onWake(() => woken.push(now));
    const rounds: [string, Reply][] = [
      ['first', { result: '11'.repeat(32) }],
      ['same', { result: '11'.repeat(32) }],
      ['next', { result: '22'.repeat(32) }],
      ['trouble', { error: { code: -28, message: 'Loading' } }],
      ['still', { error: { code: -28, message: 'Loading' } }],
      ['back', { result: '22'.repeat(32) }],
    ];
    for (const [name, reply] of rounds) {
      [now, state] = [name, reply];
      due.shift()?.();
      await expect.poll(() => due.length).toBe(1);
    }
    expect(woken).toEqual(['next', 'trouble', 'back']);
    stop();
    expect(due).toEqual([]);
  });
});
