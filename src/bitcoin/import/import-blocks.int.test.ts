import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../../test/support/database.js';
import { createFollowLedger, type FollowLedger } from '../../../test/support/follow-ledger.js';
import { makeBlock, makeTransaction, REGTEST_GENESIS, type MadeBlock } from '../../../test/support/memory-chain.js';
import { importBlocks, type ImportOptions, type ImportProgress, type ImportSummary } from './import-blocks.js';

const GENESIS = { hash: REGTEST_GENESIS, height: 0 };
const OURS = Uint8Array.of(0x52);
const MAGIC = Buffer.from('fabfb5da', 'hex');

let db: TestDatabase;
let ledgers = 0;
let directory: string;
beforeAll(async () => {
  db = await createTestDatabase();
});
afterAll(() => db.drop());
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tallystick-import-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const newLedger = (): FollowLedger => createFollowLedger(db, `import-${++ledgers}`);

async function file(name: string, ...parts: Uint8Array[]): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, Buffer.concat(parts));
  return path;
}

function framed({ raw }: { raw: Uint8Array }, magic = MAGIC): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(raw.length);
  return Buffer.concat([magic, length, raw]);
}

function grow(parent: { hash: string; height: number }, count: number, tag = ''): MadeBlock[] {
  const blocks: MadeBlock[] = [];
  for (let i = 0; i < count; i++) blocks.push(makeBlock(blocks.at(-1) ?? parent, { tag }));
  return blocks;
}

function run(ledger: FollowLedger, files: string[], overrides: Partial<ImportOptions> = {}): Promise<ImportSummary> {
  return importBlocks({
    files,
    ledger: ledger.ledger,
    network: 'regtest',
    store: ledger.store,
    outbox: ledger.outbox,
    startBlock: undefined,
    depositConfirmations: 1,
    finalityDepth: 144,
    now: () => Date.now(),
    random: () => 0.5,
    ...overrides,
  });
}

test('shuffled files with padding, duplicates, stale, foreign and torn blocks and rubbish: the best chain is connected, the rest is named', async () => {
  const ledger = newLedger();
  await ledger.createWallet('w');
  await ledger.watchScript('w', OURS, 'alice');
  const chain = grow(GENESIS, 20);
  const deposit = makeTransaction([{ txid: '44'.repeat(32), vout: 0 }], [{ script: OURS, amountSats: 9n }]);
  chain.push(makeBlock(chain[19] ?? GENESIS, { transactions: [deposit] }));
  const stale = grow(chain[10] ?? GENESIS, 3, 'stale');
  const foreign = grow({ hash: 'ab'.repeat(32), height: 5 }, 2);
  const noWork = Buffer.from(chain[0]?.raw ?? []);
  noWork.writeUInt32LE(0x1d00ffff, 72);
  const zeros = Buffer.alloc(3_000);
  const at = (i: number): MadeBlock => chain[i] ?? makeBlock(GENESIS);
  const shuffled = [...chain.slice(3, 20)].sort((a, b) => (a.hash < b.hash ? -1 : 1));
  const files = [
    await file('blk00001.dat', ...shuffled.map((block) => framed(block)), zeros),
    await file(
      'blk00000.dat',
      zeros,
      framed(at(1)),
      Buffer.from('rubbish between the blocks'),
      framed(at(0)),
      ...stale.map((block) => framed(block)),
      ...foreign.map((block) => framed(block)),
      framed(at(5)),
      framed({ raw: noWork }),
      framed(at(7)).subarray(0, 60),
    ),
    await file('single.raw', at(2).raw),
    await file('single.hex', Buffer.from(`${Buffer.from(at(20).raw).toString('hex')}\n`)),
    await file('letter.txt', Buffer.from('Dear node, these are not the blocks you are looking for. '.repeat(4))),
  ];
  const progress: ImportProgress[] = [];
  const summary = await run(ledger, files, { onProgress: (step) => progress.push(step) });
  expect(summary).toMatchObject({
    files: 5,
    read: 21 + 3 + 2 + 1 + 1,
    connected: 21,
    disconnected: 0,
    alreadyConnected: 0,
    stale: 3,
    foreign: 2,
    duplicate: 1,
    invalid: 1,
    tip: { hash: at(20).hash, height: 21 },
    position: await ledger.outbox.head(),
  });
  const named = summary.problems.map(({ file: path, problem }) => `${path.slice(directory.length + 1)} ${problem}`);
  expect(named).toEqual([
    'blk00000.dat garbage',
    'blk00000.dat proof-of-work',
    'blk00000.dat torn',
    'blk00000.dat garbage',
    'letter.txt garbage',
    'letter.txt no-blocks',
  ]);
  expect(progress.at(-1)).toEqual({ phase: 'connecting', done: 21, total: 21 });
  const story = await ledger.chainStory();
  expect(story.at(-1)).toMatchObject({ step: 'connected', found: { received: [{ txid: deposit.getId() }] } });

  const again = await run(ledger, files);
  expect(again).toMatchObject({ connected: 0, alreadyConnected: 21, stale: 3, foreign: 2 });
  expect(await ledger.chainStory()).toHaveLength(story.length);
});

test('files that newer Bitcoin Core has obfuscated are read with the key beside them', async () => {
  const ledger = newLedger();
  const blocks = grow(GENESIS, 300);
  const key = Buffer.from('1122334455667788', 'hex');
  await file('xor.dat', key);
  const plain = Buffer.concat([...blocks.map((block) => framed(block)), Buffer.alloc(100)]);
  const path = await file(
    'blk00000.dat',
    plain.map((byte, i) => byte ^ (key[i % 8] ?? 0)),
  );
  expect(await run(ledger, [path])).toMatchObject({ read: 300, connected: 300, problemCount: 0 });
});

test('a branch with more work takes the place of what the ledger has; one with less does not', async () => {
  const ledger = newLedger();
  const main = grow(GENESIS, 5, 'a');
  const branch = grow(main[1] ?? GENESIS, 4, 'b');
  expect(await run(ledger, [await file('a.dat', ...main.map((block) => framed(block)))])).toMatchObject({
    connected: 5,
  });
  const less = await file('less.dat', ...branch.slice(0, 3).map((block) => framed(block)));
  expect(await run(ledger, [less])).toMatchObject({ connected: 0, stale: 3 });
  const more = await file('more.dat', ...branch.map((block) => framed(block)));
  expect(await run(ledger, [more])).toMatchObject({ connected: 4, disconnected: 3, tip: { height: 6 } });
});

test('an invalid block is named, and the best branch without it is connected', async () => {
  const ledger = newLedger();
  const main = grow(GENESIS, 6, 'a');
  const broken = { ...(main[3] ?? makeBlock(GENESIS)) };
  broken.raw = Uint8Array.from(broken.raw);
  broken.raw[broken.raw.length - 6] = (broken.raw.at(-6) ?? 0) ^ 1;
  const branch = grow(main[1] ?? GENESIS, 2, 'b');
  const files = [
    await file('x.dat', ...[...main.slice(0, 3), broken, ...main.slice(4), ...branch].map((b) => framed(b))),
  ];
  const summary = await run(ledger, files);
  expect(summary).toMatchObject({ invalid: 1, tip: { hash: branch[1]?.hash, height: 4 } });
  expect(summary.problems).toMatchObject([{ problem: 'invalid-block', hash: main[3]?.hash }]);
});

test('blocks of another network are told apart from rubbish', async () => {
  const ledger = newLedger();
  const mainnet = Buffer.from('f9beb4d9', 'hex');
  const path = await file('blk00007.dat', ...grow(GENESIS, 2).map((block) => framed(block, mainnet)));
  const summary = await run(ledger, [path]);
  expect(summary).toMatchObject({ read: 0, connected: 0 });
  expect(summary.problems[0]).toMatchObject({ problem: 'foreign-network', detail: 'blocks of mainnet' });
  await expect(run(ledger, [join(directory, 'nowhere.dat')])).rejects.toThrow('nowhere.dat cannot be read');
});
