import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../../test/support/database.js';
import { createFollowLedger, type FollowLedger } from '../../../test/support/follow-ledger.js';
import { createMemorySource, makeBlock, REGTEST_GENESIS } from '../../../test/support/memory-chain.js';
import { SourceError, type SourceTrouble } from '../block-source.js';
import { BelowStartError, InvalidBlockError } from './follower-errors.js';
import type { Follower, FollowerDeps } from './follower.js';
import type { BlockSource } from '../block-source.js';

let db: TestDatabase;
let ledgers = 0;
beforeAll(async () => {
  db = await createTestDatabase();
});
afterAll(() => db.drop());
const newLedger = (): FollowLedger => createFollowLedger(db, `trouble-${++ledgers}`);

async function withFollower(
  ledger: FollowLedger,
  source: BlockSource,
  use: (follower: Follower) => Promise<void>,
  overrides: Partial<FollowerDeps> = {},
): Promise<void> {
  const follower = ledger.follower(source, {
    limits: { firstPauseMs: 5, longestPauseMs: 20, pollMs: 20 },
    ...overrides,
  });
  await follower.start();
  try {
    await use(follower);
  } finally {
    await follower.stop();
  }
}

const TROUBLES: readonly SourceTrouble[] = [
  'unavailable',
  'unauthorised',
  'wrong-network',
  'pruned',
  'block-missing',
  'block-mismatch',
  'malformed-answer',
];

test.each(TROUBLES)('%s is named, nothing is written meanwhile, and it passes by itself', async (trouble) => {
  const ledger = newLedger();
  const source = createMemorySource();
  source.extend(2);
  await ledger.followToTip(source);
  const head = await ledger.outbox.head();
  source.extend(1);
  source.trouble = trouble;
  await withFollower(ledger, source, async (follower) => {
    await expect(follower.syncNow()).rejects.toBeInstanceOf(SourceError);
    expect(follower.status()).toMatchObject({ state: trouble, tip: { height: 2 } });
    expect(await ledger.outbox.head()).toBe(head);
    source.trouble = undefined;
    const synced = new Promise<void>((resolve) => {
      follower.onStatus(({ state }) => void (state === 'synced' && resolve()));
    });
    await synced;
    expect(follower.status()).toMatchObject({ state: 'synced', tip: { height: 3 } });
  });
});

test('a node that is pruned while it is followed is refused at the next minute’s check, before a block is missed', async () => {
  const ledger = newLedger();
  const source = createMemorySource();
  source.extend(2);
  let checks = 0;
  let isPruned = false;
  const node: BlockSource = {
    ...source,
    check: () => {
      checks += 1;
      return isPruned ? Promise.reject(new SourceError('pruned', 'pruned below block 5')) : Promise.resolve();
    },
  };
  let nowMs = 1_000_000;
  const use = async (follower: Follower): Promise<void> => {
    await follower.syncNow();
    source.extend(1);
    isPruned = true;
    await follower.syncNow();
    expect(checks).toBe(1);
    const head = await ledger.outbox.head();
    source.extend(1);
    nowMs += 60_000;
    await expect(follower.syncNow()).rejects.toThrow('pruned below block 5');
    expect(follower.status()).toMatchObject({ state: 'pruned', tip: { height: 3 } });
    expect(await ledger.outbox.head()).toBe(head);
  };
  // Without a tick of its own: what it does here, it was told to.
  const limits = { firstPauseMs: 5, longestPauseMs: 20, pollMs: 3_600_000 };
  await withFollower(ledger, node, use, { now: () => nowMs, limits });
});

test('a node that comes back behind is waited for, also by a follower that starts then', async () => {
  const ledger = newLedger();
  const source = createMemorySource();
  const blocks = source.extend(6);
  await ledger.followToTip(source);
  const head = await ledger.outbox.head();
  source.setTip(blocks[3] ?? source.best);
  await withFollower(ledger, source, async (follower) => {
    await follower.syncNow();
    expect(follower.status()).toMatchObject({
      state: 'node-behind',
      sourceTip: { height: 4 },
      tip: { height: 6 },
    });
    expect(await ledger.outbox.head()).toBe(head);
    source.extend(3, { parent: blocks[5] ?? source.best });
    await follower.syncNow();
    expect(follower.status()).toMatchObject({ state: 'synced', tip: { height: 9 } });
  });
});

test('a block whose bytes change under its hash, and an invalid one, stop nothing but themselves', async () => {
  const ledger = newLedger();
  const source = createMemorySource();
  source.extend(2);
  const good = source.add(makeBlock(source.best));
  const other = makeBlock(source.best, { tag: 'other' });
  source.add({ ...good, raw: other.raw });
  // Its header is good, so that only the block's bytes are wrong.
  const headers = source.headers.bind(source);
  source.headers = async (hashes) =>
    (await headers(hashes)).map((header, i) => (hashes[i] === good.hash ? good.raw.subarray(0, 80) : header));
  await withFollower(ledger, source, async (follower) => {
    await expect(follower.syncNow()).rejects.toMatchObject({ trouble: 'block-mismatch' });
    expect(follower.status()).toMatchObject({ state: 'block-mismatch' });
    const broken = Uint8Array.from(good.raw);
    broken[broken.length - 6] = (broken.at(-6) ?? 0) ^ 1;
    source.add({ ...good, raw: broken });
    await expect(follower.syncNow()).rejects.toBeInstanceOf(InvalidBlockError);
    expect(follower.status()).toMatchObject({ state: 'block-invalid', tip: { height: 2 } });
    source.add(good);
    await follower.syncNow();
    expect(follower.status()).toMatchObject({ state: 'synced', tip: { height: 3 } });
  });
});

test('an invalid block at the end of a branch with more work does not tear down what we have', async () => {
  const ledger = newLedger();
  const source = createMemorySource();
  const [fork] = source.extend(1);
  source.extend(3, { tag: 'a' });
  await ledger.followToTip(source);
  const head = await ledger.outbox.head();
  const branch = source.extend(4, { parent: fork ?? source.best, tag: 'b' });
  const last = branch[3];
  if (!last) throw new Error('no block');
  const broken = Uint8Array.from(last.raw);
  broken[broken.length - 6] = (broken.at(-6) ?? 0) ^ 1;
  source.add({ ...last, raw: broken });
  await withFollower(ledger, source, async (follower) => {
    await expect(follower.syncNow()).rejects.toBeInstanceOf(InvalidBlockError);
    expect(await ledger.outbox.head()).toBe(head);
    expect(follower.status().tip?.height).toBe(4);
  });
});

test('a start block: the chain begins there, a reorg below it is fatal and told, and it cannot be changed later', async () => {
  const ledger = newLedger();
  const source = createMemorySource();
  const blocks = source.extend(10);
  const start = blocks[5] ?? makeBlock(source.best);
  const startBlock = { height: start.height, hash: start.hash };
  await ledger.followToTip(source, { startBlock });
  const [opened] = await ledger.log();
  expect(opened?.data).toMatchObject({ ...startBlock, prevHash: start.prevHash, bits: 0x207fffff });
  const head = await ledger.outbox.head();
  source.extend(20, { parent: blocks[2] ?? start, tag: 'b' });
  await withFollower(
    ledger,
    source,
    async (follower) => {
      await expect(follower.syncNow()).rejects.toBeInstanceOf(BelowStartError);
      expect(follower.status()).toMatchObject({ state: 'halted', tip: { height: 10 } });
      expect(follower.status().detail).toContain(`start block 6:${start.hash}`);
      expect(await ledger.outbox.head()).toBe(head);
    },
    { startBlock },
  );
  const elsewhere = ledger.follower(source, { startBlock: { height: 7, hash: blocks[6]?.hash ?? '' } });
  await expect(elsewhere.start()).rejects.toThrow(`START_BLOCK: this ledger began at 6:${start.hash}`);
  const unknown = ledger.follower(source, { network: 'signet' });
  await expect(unknown.start()).rejects.toThrow('BITCOIN_NETWORK: this ledger follows regtest, not signet');
});

test('a start block that the source does not have is refused before anything is written', async () => {
  const ledger = newLedger();
  const source = createMemorySource();
  source.extend(10);
  const startBlock = { height: 4, hash: 'cd'.repeat(32) };
  await withFollower(
    ledger,
    source,
    async (follower) => {
      await expect(follower.syncNow()).rejects.toMatchObject({ trouble: 'wrong-network' });
      expect(await ledger.outbox.head()).toBe(0n);
    },
    { startBlock },
  );
});

test('a deposit policy is written when it differs, and only then; a deep reorg raises the alarm and is followed', async () => {
  const ledger = newLedger();
  const source = createMemorySource();
  const blocks = source.extend(8);
  await ledger.followToTip(source, { depositConfirmations: 3 });
  await ledger.followToTip(source, { depositConfirmations: 3 });
  source.extend(6, { parent: blocks[3] ?? source.best, tag: 'b' });
  const follower = await ledger.followToTip(source, { depositConfirmations: 6, finalityDepth: 4 });
  expect(follower.status()).toMatchObject({ deepestReorg: 4, finalityBroken: true, tip: { height: 10 } });
  const policies = (await ledger.log()).filter(({ type }) => type === 'DepositPolicySet');
  expect(policies.map(({ data }) => data)).toEqual(
    [3, 6].map((depositConfirmations) => ({ network: 'regtest', depositConfirmations, coinbaseMaturity: 100 })),
  );
});

test('a reorg of 1,000 blocks', async () => {
  const ledger = newLedger();
  const source = createMemorySource();
  source.extend(1_000);
  await ledger.followToTip(source);
  source.extend(1_001, { parent: { hash: REGTEST_GENESIS, height: 0 }, tag: 'b' });
  const follower = await ledger.followToTip(source);
  expect(follower.status()).toMatchObject({ deepestReorg: 1_000, tip: source.best });
});

test('a source that hangs does not keep the follower from stopping; what waits for it is told', async () => {
  const ledger = newLedger();
  const source = createMemorySource();
  source.extend(3);
  const asked = new Promise<void>((resolve) => {
    source.beforeBlocks = () => {
      resolve();
      return new Promise<never>(() => undefined);
    };
  });
  const follower = ledger.follower(source);
  await follower.start();
  const waiting = follower.syncNow();
  await Promise.all([asked, expect(waiting).rejects.toThrow('stopped'), asked.then(() => follower.stop())]);
  expect(follower.status()).toMatchObject({ state: 'stopped', tip: { height: 0 } });
  await expect(follower.syncNow()).rejects.toThrow('not running');
});

test('a standby reads along, writes nothing, and goes on where the other stopped when it is its turn', async () => {
  const ledger = newLedger();
  const source = createMemorySource();
  source.extend(3);
  let turn = 0;
  const standbyMs = 5;
  const followers = [0, 1].map((number) =>
    ledger.follower(source, { hasTurn: () => turn === number, limits: { standbyMs, pollMs: 20 } }),
  );
  const [first, second] = followers;
  if (first === undefined || second === undefined) throw new Error('there are two');
  await Promise.all(followers.map((follower) => follower.start()));
  try {
    await first.syncNow();
    const head = await ledger.outbox.head();
    await expect(second.syncNow()).rejects.toThrow('another process follows the chain');
    await expect.poll(() => second.status()).toMatchObject({ state: 'standby', tip: { height: 3 }, position: head });
    expect(await ledger.outbox.head()).toBe(head);

    source.extend(2);
    turn = 1;
    await expect.poll(() => second.status()).toMatchObject({ state: 'synced', tip: { height: 5 } });
    // Whoever has lost its turn writes nothing more, also what it had begun.
    await expect(first.syncNow()).rejects.toThrow('another process follows the chain');
    await expect.poll(() => first.status()).toMatchObject({ state: 'standby', tip: { height: 5 } });
  } finally {
    await Promise.all(followers.map((follower) => follower.stop()));
  }
  expect(ledger.fatal).toEqual([]);
  expect((await ledger.chainStory()).filter(({ step }) => step === 'connected')).toHaveLength(5);
});

test('a turn that ends in the middle of a change ends the writing; the other one writes the rest', async () => {
  const ledger = newLedger();
  const source = createMemorySource();
  source.extend(20);
  let turn = 0;
  let appends = 0;
  const store = {
    ...ledger.store,
    append: (request: Parameters<typeof ledger.store.append>[0]) => {
      if (++appends === 4) turn = 1;
      return ledger.store.append(request);
    },
  };
  const limits = { standbyMs: 5, pollMs: 20, maxEvents: 2 };
  const followers = [0, 1].map((number) => ledger.follower(source, { store, hasTurn: () => turn === number, limits }));
  await Promise.all(followers.map((follower) => follower.start()));
  try {
    await expect.poll(() => followers[1]?.status()).toMatchObject({ state: 'synced', tip: { height: 20 } });
    await expect.poll(() => followers[0]?.status()).toMatchObject({ state: 'standby', tip: { height: 20 } });
  } finally {
    await Promise.all(followers.map((follower) => follower.stop()));
  }
  expect(ledger.fatal).toEqual([]);
  const heights = (await ledger.chainStory()).flatMap((step) => (step.step === 'connected' ? [step.height] : []));
  expect(heights).toEqual(Array.from({ length: 20 }, (_, block) => block + 1));
});
