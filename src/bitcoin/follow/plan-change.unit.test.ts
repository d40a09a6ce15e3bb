import { expect, test } from 'vitest';
import { createMemorySource, HARDER_BITS, makeBlock, REGTEST_GENESIS } from '../../../test/support/memory-chain.js';
import type { MadeBlock } from '../../../test/support/memory-chain.js';
import { parseHeader } from '../scan/parse-header.js';
import { createChainIndex, type ChainIndex } from './chain-index.js';
import { DEFAULT_PLAN_LIMITS, planChange } from './plan-change.js';

const GENESIS = { hash: REGTEST_GENESIS, height: 0 };
const hashes = (blocks: readonly MadeBlock[]): string[] => blocks.map(({ hash }) => hash);

function connect(chain: ChainIndex, blocks: readonly MadeBlock[]): void {
  for (const { hash, raw } of blocks) chain.push({ hash, bits: parseHeader(raw).bits, revision: 0 });
}

/** A source with a chain of so many blocks, all of which we have connected. */
function together(count: number, start = GENESIS) {
  const source = createMemorySource();
  const blocks = source.extend(count, { parent: start });
  const chain = createChainIndex(start);
  connect(chain, blocks);
  return { source, chain, blocks, plan: () => planChange(chain, source, 'regtest') };
}

test('nothing to do where the tips are the same', async () => {
  const { plan } = together(3);
  expect(await plan()).toMatchObject({ kind: 'synced', sourceTip: { height: 3 } });
});

test('new blocks are connected oldest first', async () => {
  const { source, plan } = together(3);
  const added = source.extend(3);
  expect(await plan()).toEqual({
    kind: 'change',
    sourceTip: { hash: added[2]?.hash, height: 6 },
    forkHeight: 3,
    connect: hashes(added),
    connectAtLeast: 1,
  });
});

test('one new block is found with one header, without asking for heights', async () => {
  const { source, plan } = together(50);
  source.extend(1);
  await plan();
  expect(source.calls).toMatchObject({ headers: 1, hashAt: 0 });
});

test('a source whose tip is one of our older blocks is behind: nothing is undone', async () => {
  const { source, blocks, plan } = together(10);
  source.setTip(blocks[4] ?? GENESIS);
  expect(await plan()).toMatchObject({ kind: 'source-behind', sourceTip: { height: 5 } });
  source.setTip(GENESIS);
  expect(await plan()).toMatchObject({ kind: 'source-behind' });
});

test.each([1, 2, 7, 40])('an equal branch of %d blocks changes nothing; one more block does', async (depth) => {
  const { source, chain, blocks, plan } = together(50);
  const fork = blocks[49 - depth] ?? GENESIS;
  const branch = source.extend(depth, { parent: fork, tag: 'other' });
  expect(await plan()).toMatchObject({ kind: 'tie' });
  const more = source.extend(1);
  expect(await plan()).toMatchObject({
    kind: 'change',
    forkHeight: 50 - depth,
    connect: hashes([...branch, ...more]),
    connectAtLeast: depth + 1,
  });
  expect(chain.tip.height).toBe(50);
});

test('a higher branch with less work is not followed, a lower one with more work is', async () => {
  const source = createMemorySource();
  const common = source.extend(5);
  const fork = source.best;
  const hard = source.extend(3, { bits: HARDER_BITS });
  const easy = source.extend(9, { parent: fork, tag: 'easy' });
  const chain = createChainIndex(GENESIS);
  connect(chain, [...common, ...hard]);
  expect(await planChange(chain, source, 'regtest')).toMatchObject({ kind: 'source-behind' });

  const other = createChainIndex(GENESIS);
  connect(other, [...common, ...easy]);
  source.setTip(hard[2] ?? GENESIS);
  expect(await planChange(other, source, 'regtest')).toMatchObject({
    kind: 'change',
    forkHeight: 5,
    connect: hashes(hard),
    connectAtLeast: 3,
  });
});

test('a reorg of 1,000 blocks is planned whole, whatever the window', async () => {
  const source = createMemorySource();
  const common = source.extend(20);
  const ours = source.extend(1_000);
  const chain = createChainIndex(GENESIS);
  connect(chain, [...common, ...ours]);
  const theirs = source.extend(1_001, { parent: common[19] ?? GENESIS, tag: 'theirs' });
  const limits = { ...DEFAULT_PLAN_LIMITS, windowBlocks: 10, headerBatch: 100 };
  expect(await planChange(chain, source, 'regtest', limits)).toMatchObject({
    kind: 'change',
    forkHeight: 20,
    connect: hashes(theirs),
    connectAtLeast: 1_001,
  });
});

test('a long way to the tip is planned in windows', async () => {
  const { source, plan, chain } = together(2);
  const added = source.extend(5_000);
  const first = await plan();
  expect(first).toMatchObject({ kind: 'change', connect: hashes(added.slice(0, 2_000)) });
  connect(chain, added.slice(0, 2_000));
  expect(await plan()).toMatchObject({ forkHeight: 2_002, connect: hashes(added.slice(2_000, 4_000)) });
});

test('a chain that parts from ours below the start block is told apart, and so is a source that has not reached it', async () => {
  const source = createMemorySource();
  const common = source.extend(10);
  const chain = createChainIndex(common[7] ?? GENESIS);
  connect(chain, common.slice(8));
  source.extend(30, { parent: common[3] ?? GENESIS, tag: 'other' });
  expect(await planChange(chain, source, 'regtest')).toMatchObject({ kind: 'below-start' });
  source.setTip(common[2] ?? GENESIS);
  expect(await planChange(chain, source, 'regtest')).toMatchObject({ kind: 'source-behind' });
});

test('hints that lead astray are not believed: headers must be linked to our chain', async () => {
  const { source, plan } = together(2);
  const ours = source.extend(20);
  const stranger = makeBlock({ hash: '11'.repeat(32), height: 9 });
  source.add(stranger, { asTip: false });
  const hashAt = source.hashAt.bind(source);
  source.hashAt = (height) => (height === 10 ? Promise.resolve(stranger.hash) : hashAt(height));
  expect(await plan()).toMatchObject({ kind: 'change', connect: hashes(ours.slice(0, 7)) });
});

test('a header that hashes to something else, or has no proof of work, is refused', async () => {
  const { source, plan } = together(2);
  const [block] = source.extend(1);
  const other = makeBlock({ hash: '22'.repeat(32), height: 2 });
  source.headers = () => Promise.resolve([other.raw.subarray(0, 80)]);
  await expect(plan()).rejects.toMatchObject({ trouble: 'block-mismatch' });
  source.headers = () => Promise.resolve([undefined]);
  await expect(plan()).rejects.toMatchObject({ trouble: 'block-missing' });
  expect(block).toBeDefined();
  const mainnet = planChange(
    createChainIndex(GENESIS),
    { ...source, headers: () => Promise.resolve([block?.raw]) },
    'mainnet',
  );
  await expect(mainnet).rejects.toMatchObject({ trouble: 'block-mismatch' });
});
