import type { Transaction } from 'bitcoinjs-lib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../../test/support/database.js';
import { createFollowLedger, type ChainStep, type FollowLedger } from '../../../test/support/follow-ledger.js';
import {
  createMemorySource,
  makeBlock,
  makeTransaction,
  type MemorySource,
} from '../../../test/support/memory-chain.js';
import type { EventStore } from '../../eventstore/event-store.js';
import { RetryableError } from '../../platform/errors.js';
import type { FollowerDeps } from './follower.js';

let db: TestDatabase;
let ledgers = 0;
beforeAll(async () => {
  db = await createTestDatabase();
});
afterAll(() => db.drop());

const OURS = Uint8Array.of(0x52);
const THEIRS = Uint8Array.of(0x54);
const pay = (amountSats: bigint, from: string, script = OURS): Transaction =>
  makeTransaction([{ txid: Buffer.from(from.padEnd(32)).toString('hex'), vout: 0 }], [{ script, amountSats }]);

/** Small enough that a block has several parts and a reorg several appends. */
const SMALL = { maxEvents: 2, maxBytes: 1_500, partBytes: 1_000, firstPauseMs: 1, longestPauseMs: 2 };

async function newLedger(): Promise<FollowLedger> {
  const ledger = createFollowLedger(db, `crash-${++ledgers}`);
  await ledger.createWallet('w');
  await ledger.watchScript('w', OURS, 'alice');
  return ledger;
}

/** The peer's story in stages, each ending at a tip that a follower is to reach. */
function stages(): { source: MemorySource; tips: { hash: string; height: number }[] } {
  const source = createMemorySource();
  const [fork] = source.extend(2);
  const deposits = Array.from({ length: 6 }, (_, i) => pay(BigInt(i + 1), `deposit ${i}`));
  const spend = makeTransaction(
    deposits.slice(0, 2).map((deposit) => ({ txid: deposit.getId(), vout: 0 })),
    [{ script: THEIRS, amountSats: 2n }],
  );
  source.add(makeBlock(source.best, { transactions: [...deposits, spend] }));
  source.extend(2);
  const first = source.best;
  const other = source.add(
    makeBlock(fork ?? first, { transactions: [pay(9n, 'deposit 3'), ...deposits.slice(4)], tag: 'b' }),
    { asTip: false },
  );
  source.extend(5, { parent: other, tag: 'b' });
  const second = source.best;
  source.extend(6, { parent: first, tag: 'c' });
  return { source, tips: [first, second, source.best] };
}

async function runAll(ledger: FollowLedger, stage: ReturnType<typeof stages>, overrides: Partial<FollowerDeps>) {
  for (const tip of stage.tips) {
    stage.source.setTip(tip);
    await ledger.followToTip(stage.source, overrides);
  }
}

/** What a reader of the log sees, without the void parts that a crash leaves behind. */
const connectedBlocks = (steps: readonly ChainStep[]) => steps.filter(({ step }) => step !== 'policy');

class Crash extends Error {}

/** A store whose n-th append of this chain never happens, or happens and is not answered; nothing works afterwards. */
function crashingStore(store: EventStore, n: number, when: 'before' | 'after') {
  let appends = 0;
  let crashed = false;
  const die = (): never => {
    crashed = true;
    throw new Crash(`at append ${n}`);
  };
  const crashing: EventStore = {
    ...store,
    async append(request) {
      if (crashed) return die();
      appends += 1;
      if (appends < n) return store.append(request);
      if (when === 'after') await store.append(request);
      return die();
    },
  };
  return { store: crashing, crashed: () => crashed, appends: () => appends };
}

test('a crash before or after any append, and a new start, end in the same story', { timeout: 300_000 }, async () => {
  const stage = stages();
  const reference = await newLedger();
  const counting = crashingStore(reference.store, Infinity, 'before');
  await runAll(reference, stage, { limits: SMALL, store: counting.store });
  const expected = connectedBlocks(await reference.chainStory());
  expect(counting.appends()).toBeGreaterThan(15);
  expect(expected.filter(({ step }) => step === 'disconnected').length).toBeGreaterThanOrEqual(9);

  for (let n = 1; n <= counting.appends(); n++) {
    for (const when of ['before', 'after'] as const) {
      const ledger = await newLedger();
      const fragile = crashingStore(ledger.store, n, when);
      for (const tip of stage.tips) {
        stage.source.setTip(tip);
        if (!fragile.crashed()) {
          const fatal: unknown[] = [];
          const follower = ledger.follower(stage.source, {
            limits: SMALL,
            store: fragile.store,
            onFatal: (error) => fatal.push(error),
          });
          await follower.start();
          await follower.syncNow().catch((error: unknown) => {
            if (!(error instanceof Crash)) throw error;
          });
          await follower.stop();
        }
        await ledger.followToTip(stage.source, { limits: SMALL });
      }
      expect(connectedBlocks(await ledger.chainStory()), `${when} append ${n}`).toEqual(expected);
    }
  }
});

test('answers lost again and again in one process: nothing is written twice, nothing is lost', async () => {
  const stage = stages();
  const reference = await newLedger();
  await runAll(reference, stage, { limits: SMALL });
  const ledger = await newLedger();
  let calls = 0;
  const store: EventStore = {
    ...ledger.store,
    async append(request) {
      calls += 1;
      if (calls % 11 === 0) throw new RetryableError('lost on the way there');
      const result = await ledger.store.append(request);
      if (calls % 11 === 5) throw new RetryableError('lost on the way back');
      return result;
    },
  };
  for (const tip of stage.tips) {
    stage.source.setTip(tip);
    const follower = ledger.follower(stage.source, { store, limits: SMALL });
    await follower.start();
    while (follower.chain()?.tip.hash !== tip.hash && ledger.fatal.length === 0) {
      await follower.syncNow().catch(() => undefined);
    }
    await follower.stop();
  }
  expect(ledger.fatal).toEqual([]);
  expect(connectedBlocks(await ledger.chainStory())).toEqual(connectedBlocks(await reference.chainStory()));
});

test('two followers on one ledger: one story, each block connected once', async () => {
  const stage = stages();
  const reference = await newLedger();
  await runAll(reference, stage, { limits: SMALL });
  const ledger = await newLedger();
  const followers = [0, 1].map(() => ledger.follower(stage.source, { limits: SMALL }));
  stage.source.setTip({ hash: stage.tips[0]?.hash ?? '', height: stage.tips[0]?.height ?? 0 });
  await Promise.all(followers.map((follower) => follower.start()));
  for (const tip of stage.tips) {
    stage.source.setTip(tip);
    await Promise.all(followers.map((follower) => follower.syncNow()));
  }
  await Promise.all(followers.map((follower) => follower.stop()));
  expect(ledger.fatal).toEqual([]);
  expect(connectedBlocks(await ledger.chainStory())).toEqual(connectedBlocks(await reference.chainStory()));
});

test('a reorg inside a reorg: the source changes its mind while the change is being written', async () => {
  const ledger = await newLedger();
  const source = createMemorySource();
  const [fork] = source.extend(1);
  source.extend(4, { tag: 'a' });
  await ledger.followToTip(source, { limits: SMALL });
  const a = source.best;
  source.extend(7, { parent: fork ?? a, tag: 'b' });
  let handed = 0;
  source.beforeBlocks = () => {
    // After some blocks of branch b the peer returns to branch a, longer now.
    if (++handed === 3) source.extend(9, { parent: a, tag: 'a2' });
  };
  await ledger.followToTip(source, { limits: { ...SMALL, maxBatch: 1, windowBlocks: 2, shortWalk: 0 } });
  source.beforeBlocks = undefined;
  await ledger.followToTip(source, { limits: SMALL });
  const tips: string[] = [];
  for (const step of await ledger.chainStory()) {
    if (step.step === 'connected') tips.push(step.hash);
    if (step.step === 'disconnected') expect(tips.pop()).toBe(step.hash);
  }
  expect(tips).toHaveLength(14);
  expect(tips.at(-1)).toBe(source.best.hash);
});
