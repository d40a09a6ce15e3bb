import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../../test/support/database.js';
import { createFollowLedger, type FollowLedger } from '../../../test/support/follow-ledger.js';
import { HARDER_BITS, makeBlock, makeTransaction, REGTEST_GENESIS } from '../../../test/support/memory-chain.js';
import type { MadeBlock } from '../../../test/support/memory-chain.js';
import type { Follower, FollowerDeps } from '../follow/follower.js';
import { openPushedBlocks } from './open-pushed-blocks.js';
import type { PushedBlocks, PushOutcome } from './pushed-blocks.js';

const GENESIS = { hash: REGTEST_GENESIS, height: 0 };
const OURS = Uint8Array.of(0x52);

let db: TestDatabase;
let ledgers = 0;
let running: Follower[] = [];
beforeAll(async () => {
  db = await createTestDatabase();
});
afterAll(() => db.drop());
afterEach(async () => {
  await Promise.all(running.splice(0).map((follower) => follower.stop()));
});

async function open(
  ledger: FollowLedger = createFollowLedger(db, `push-${++ledgers}`),
  overrides: Partial<FollowerDeps> & { keptDepth?: number } = {},
): Promise<{ ledger: FollowLedger; pushed: PushedBlocks; follower: Follower; restart: () => ReturnType<typeof open> }> {
  const { follower, pushedBlocks } = await openPushedBlocks({
    pool: db.pool,
    ledger: ledger.ledger,
    network: 'regtest',
    store: ledger.store,
    outbox: ledger.outbox,
    startBlock: undefined,
    depositConfirmations: 1,
    finalityDepth: 144,
    now: () => Date.now(),
    random: () => 0.5,
    onFatal: (error) => ledger.fatal.push(error),
    ...overrides,
  });
  await follower.start();
  running.push(follower);
  const restart = async (): ReturnType<typeof open> => {
    await follower.stop();
    return open(ledger, overrides);
  };
  return { ledger, pushed: pushedBlocks, follower, restart };
}

function grow(parent: { hash: string; height: number }, count: number, tag = ''): MadeBlock[] {
  const blocks: MadeBlock[] = [];
  for (let i = 0; i < count; i++) blocks.push(makeBlock(blocks.at(-1) ?? parent, { tag }));
  return blocks;
}

async function pushAll(pushed: PushedBlocks, blocks: readonly MadeBlock[]): Promise<PushOutcome[]> {
  const outcomes: PushOutcome[] = [];
  for (const { raw } of blocks) outcomes.push(await pushed.submit(raw));
  return outcomes;
}

const outcomesOf = (outcomes: readonly PushOutcome[]): string[] =>
  outcomes.map((outcome) => (outcome.kind === 'accepted' ? outcome.outcome : outcome.kind));

test('a block on the tip is connected, and a second time it is known', async () => {
  const { pushed, ledger } = await open();
  const [block] = grow(GENESIS, 1);
  if (!block) throw new Error('no block');
  const first = await pushed.submit(block.raw);
  expect(first).toEqual({
    kind: 'accepted',
    hash: block.hash,
    height: 1,
    outcome: 'connected',
    disconnected: [],
    connected: [block.hash],
    position: await ledger.outbox.head(),
  });
  expect(await pushed.submit(block.raw)).toEqual({ ...first, outcome: 'already-known', connected: [] });
});

test('a side branch waits until it has more work, and the older branch can come back', async () => {
  const { pushed, ledger, follower } = await open();
  const main = grow(GENESIS, 3, 'a');
  expect(outcomesOf(await pushAll(pushed, main))).toEqual(['connected', 'connected', 'connected']);
  const side = grow(main[0] ?? GENESIS, 3, 'b');
  const outcomes = await pushAll(pushed, side);
  expect(outcomesOf(outcomes)).toEqual(['side-branch', 'side-branch', 'reorganised']);
  expect(outcomes[2]).toMatchObject({
    height: 4,
    disconnected: [main[2]?.hash, main[1]?.hash],
    connected: side.map(({ hash }) => hash),
    position: await ledger.outbox.head(),
  });
  const back = grow(main[2] ?? GENESIS, 2, 'a');
  const backOutcomes = await pushAll(pushed, back);
  expect(outcomesOf(backOutcomes)).toEqual(['side-branch', 'reorganised']);
  expect(backOutcomes[1]).toMatchObject({
    disconnected: [...side].reverse().map(({ hash }) => hash),
    connected: [...main.slice(1), ...back].map(({ hash }) => hash),
  });
  expect(follower.chain()?.tip).toEqual({ hash: back[1]?.hash, height: 5 });
});

test('more work wins, not more height', async () => {
  const { pushed, follower } = await open();
  await pushAll(pushed, grow(GENESIS, 3, 'easy'));
  const hard = makeBlock(GENESIS, { bits: HARDER_BITS });
  expect(await pushed.submit(hard.raw)).toMatchObject({ outcome: 'reorganised', height: 1, connected: [hard.hash] });
  expect(follower.chain()?.tip.height).toBe(1);
});

test('refused: unknown parent, no proof of work, changed bytes, cut bytes, rubbish; nothing is written', async () => {
  const { pushed, ledger, follower } = await open();
  await follower.syncNow();
  const [first, second] = grow(GENESIS, 2);
  if (!first || !second) throw new Error('no block');
  const head = await ledger.outbox.head();
  expect(await pushed.submit(second.raw)).toEqual({ kind: 'unknown-parent', hash: second.hash, prevHash: first.hash });
  const changed = Buffer.from(first.raw);
  changed[changed.length - 5] = (changed.at(-5) ?? 0) ^ 1;
  expect(await pushed.submit(changed)).toMatchObject({ kind: 'invalid', reason: 'merkle-root' });
  const noWork = Buffer.from(first.raw);
  noWork.writeUInt32LE(0x1d00ffff, 72);
  expect(await pushed.submit(noWork)).toMatchObject({ kind: 'invalid', reason: 'proof-of-work' });
  expect(await pushed.submit(first.raw.subarray(0, -1))).toMatchObject({ kind: 'invalid', reason: 'truncated' });
  expect(await pushed.submit(Buffer.concat([first.raw, Buffer.of(0)]))).toMatchObject({ reason: 'trailing-bytes' });
  expect(await pushed.submit(new Uint8Array(0))).toMatchObject({ kind: 'invalid', reason: 'truncated' });
  expect(await ledger.outbox.head()).toBe(head);
  expect(outcomesOf(await pushAll(pushed, [first, second]))).toEqual(['connected', 'connected']);
});

test('a block that is not valid only in our eyes is refused, with what stands on it; the chain stays and goes on', async () => {
  const { pushed, ledger, follower } = await open();
  await ledger.createWallet('w');
  await ledger.watchScript('w', OURS);
  const deposit = makeTransaction([{ txid: '33'.repeat(32), vout: 0 }], [{ script: OURS, amountSats: 5n }]);
  const main = makeBlock(GENESIS, { transactions: [deposit] });
  const coin = { txid: deposit.getId(), vout: 0 };
  const twice = [1n, 2n].map((amountSats) => makeTransaction([coin], [{ script: Uint8Array.of(0x51), amountSats }]));
  const bad = makeBlock(main, { transactions: twice });
  await pushed.submit(main.raw);
  expect(await pushed.submit(bad.raw)).toMatchObject({ kind: 'invalid', reason: 'double-spend' });
  expect(await pushed.submit(bad.raw)).toMatchObject({ kind: 'invalid', reason: 'double-spend' });
  const [onBad] = grow(bad, 1);
  expect(await pushed.submit(onBad?.raw ?? bad.raw)).toMatchObject({ kind: 'invalid', reason: 'double-spend' });
  const [good] = grow(main, 1, 'good');
  expect(await pushed.submit(good?.raw ?? bad.raw)).toMatchObject({ outcome: 'connected' });
  expect(follower.chain()?.tip.hash).toBe(good?.hash);
});

test('many clients at once, blocks in any order they like: each block is connected once', async () => {
  const { pushed, follower, ledger } = await open();
  const blocks = grow(GENESIS, 12);
  const client = async (own: readonly MadeBlock[]): Promise<void> => {
    for (const { raw } of own) while ((await pushed.submit(raw)).kind === 'unknown-parent');
  };
  await Promise.all([client(blocks), client(blocks), client(blocks), client(blocks.slice(4)), client(blocks.slice(9))]);
  expect(follower.chain()?.tip).toEqual({ hash: blocks[11]?.hash, height: 12 });
  const connected = (await ledger.chainStory()).filter(({ step }) => step === 'connected');
  expect(connected).toHaveLength(12);
});

test('kept, but not connected when the process died: connected at the next start, side branches still there', async () => {
  const ledger = createFollowLedger(db, `push-${++ledgers}`);
  const append = ledger.store.append.bind(ledger.store);
  let dead = false;
  const store = {
    ...ledger.store,
    append: (request: Parameters<typeof append>[0]) => (dead ? new Promise<never>(() => undefined) : append(request)),
  };
  const first = await open(ledger, { store });
  const main = grow(GENESIS, 2, 'a');
  const side = grow(GENESIS, 2, 'b');
  await pushAll(first.pushed, [...main, ...side]);
  const [last] = grow(side[1] ?? GENESIS, 1, 'b');
  if (!last) throw new Error('no block');
  dead = true;
  void first.pushed.submit(last.raw).catch(() => undefined);
  await waitUntilKept(ledger.ledger, last.hash);
  running = [];

  dead = false;
  const second = await open(ledger);
  expect(await second.pushed.submit(last.raw)).toMatchObject({ kind: 'accepted', height: 3 });
  expect(second.follower.chain()?.tip.hash).toBe(last.hash);
  const story = await ledger.chainStory();
  expect(story.slice(-5).map(({ step }) => step)).toEqual([
    'disconnected',
    'disconnected',
    'connected',
    'connected',
    'connected',
  ]);
});

async function waitUntilKept(ledger: string, hash: string): Promise<void> {
  for (;;) {
    const { rowCount } = await db.pool.query('SELECT 1 FROM pushed_block WHERE ledger = $1 AND hash = $2', [
      ledger,
      Buffer.from(hash, 'hex'),
    ]);
    if (rowCount === 1) return;
  }
}

test('raw blocks far below the tip are forgotten, their chain is not; a start block needs no block below it', async () => {
  const start = { hash: 'aa'.repeat(32), height: 700_000 };
  const { pushed, ledger, restart } = await open(undefined, { startBlock: start, keptDepth: 100 });
  const blocks = grow(start, 300);
  await pushAll(pushed, blocks);
  const kept = await db.pool.query<{ height: number }>(
    'SELECT min(height) AS height FROM pushed_block WHERE ledger = $1',
    [ledger.ledger],
  );
  expect(kept.rows[0]?.height).toBeGreaterThan(700_000 + 300 - 100 - 65);
  const again = await restart();
  expect(await again.pushed.submit(blocks[0]?.raw ?? new Uint8Array())).toMatchObject({ outcome: 'already-known' });
  const [branch] = grow(blocks[5] ?? start, 1, 'b');
  expect(await again.pushed.submit(branch?.raw ?? new Uint8Array())).toMatchObject({
    outcome: 'side-branch',
    height: 700_007,
  });
});

test('of two processes each takes blocks that stand on what the other has kept, side branches too', async () => {
  // They look so often that each now and then connects what the other has just kept.
  const one = await open(undefined, { limits: { pollMs: 1 } });
  const two = await open(one.ledger, { limits: { pollMs: 1 } });
  const blocks = grow(GENESIS, 40);
  for (const [index, { raw }] of blocks.entries()) {
    const outcome = await (index % 2 === 0 ? one : two).pushed.submit(raw);
    expect(outcome).toMatchObject({ kind: 'accepted', height: index + 1, outcome: 'connected', disconnected: [] });
    expect(outcome.kind === 'accepted' && outcome.connected.at(-1)).toBe(blocks[index]?.hash);
  }
  // What one has kept is known to the other.
  const [first] = blocks;
  if (!first) throw new Error('no block');
  expect(await two.pushed.submit(first.raw)).toMatchObject({ outcome: 'already-known' });
  const branch = grow(blocks[34] ?? first, 6, 'side');
  const outcomes: PushOutcome[] = [];
  for (const [index, { raw }] of branch.entries()) {
    outcomes.push(await (index % 2 === 0 ? two : one).pushed.submit(raw));
  }
  expect(outcomesOf(outcomes)).toEqual([...Array.from({ length: 5 }, () => 'side-branch'), 'reorganised']);
  expect(outcomes.at(-1)).toMatchObject({
    disconnected: blocks
      .slice(35)
      .reverse()
      .map(({ hash }) => hash),
    connected: branch.map(({ hash }) => hash),
  });
  for (const { follower } of [one, two]) {
    await expect.poll(() => follower.status().tip).toEqual({ hash: branch.at(-1)?.hash, height: 41 });
  }
});

test('a block that another process has forgotten can be pushed again', async () => {
  const one = await open();
  const two = await open(one.ledger);
  const main = grow(GENESIS, 2);
  const side = grow(GENESIS, 3, 'side');
  await pushAll(one.pushed, main);
  await pushAll(two.pushed, side.slice(0, 2));
  // As the pruning of another process removes what it takes for dead.
  await db.pool.query('DELETE FROM pushed_block WHERE ledger = $1 AND hash = $2', [
    one.ledger.ledger,
    Buffer.from(side[0]?.hash ?? '', 'hex'),
  ]);
  await expect(two.pushed.submit(side[2]?.raw ?? new Uint8Array())).rejects.toThrow('push it again');
  // What stood on it is there still.
  expect(outcomesOf(await pushAll(two.pushed, side))).toEqual(['reorganised', 'already-known', 'already-known']);
});
