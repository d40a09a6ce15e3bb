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
import { SourceError } from '../block-source.js';
import { deriveScript } from '../descriptors/derive-script.js';
import { storedDescriptor } from '../descriptors/stored-descriptor.js';
import type { FollowerDeps } from './follower.js';

let db: TestDatabase;
let ledgers = 0;
beforeAll(async () => {
  db = await createTestDatabase();
});
afterAll(() => db.drop());

/** BIP84's test vector for test networks. */
const RECEIVE =
  'wpkh(tpubDC8msFGeGuwnKG9Upg7DM2b4DaRqg3CUZa5g8v2SRQ6K4NSkxUgd7HsL2XVWbVm39yBA4LAxysQAm397zwQSQoQgewGiYZqrA9DsP4zbQ1M/0/*)';
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const OURS = Uint8Array.of(0x52);
const THEIRS = Uint8Array.of(0x54);
const pay = (amountSats: bigint, from: string, script: Uint8Array = OURS): Transaction =>
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

/** A store in which something is watched between the scan of a block and its append, after which the process dies. */
function diesInTheWindow(store: EventStore, watch: () => Promise<void>): EventStore {
  return {
    ...store,
    async append(request) {
      if (!request.events.some(({ type }) => type === 'BlockConnected')) return store.append(request);
      await watch();
      await store.append(request);
      throw new Crash('directly after the append');
    },
  };
}

async function crashInTheWindow(ledger: FollowLedger, source: MemorySource, watch: () => Promise<void>): Promise<void> {
  const store = diesInTheWindow(ledger.store, watch);
  const follower = ledger.follower(source, { store, onFatal: () => undefined });
  await follower.start();
  await expect(follower.syncNow()).rejects.toThrow(Crash);
  await follower.stop();
}

test('a script watched between scan and append of a block whose follower then dies: the next start finds the payment', async () => {
  const ledger = await newLedger();
  const late = Uint8Array.of(0x53);
  const source = createMemorySource();
  const payment = pay(7n, 'late payment', late);
  const spend = makeTransaction([{ txid: payment.getId(), vout: 0 }], [{ script: OURS, amountSats: 6n }]);
  // In one append with blocks below and above it, which are blameless.
  source.extend(1);
  source.add(makeBlock(source.best, { transactions: [payment, pay(1n, 'early payment')] }));
  source.add(makeBlock(source.best, { transactions: [spend] }));
  await crashInTheWindow(ledger, source, () => ledger.watchScript('w', late, 'bob'));
  const before = await ledger.chainStory();
  expect(before.flatMap((step) => (step.step === 'connected' ? step.found.received : []))).toHaveLength(2);

  await ledger.followToTip(source);
  const after = (await ledger.chainStory()).slice(before.length);
  expect(after.map(({ step }) => step)).toEqual(['disconnected', 'disconnected', 'connected', 'connected']);
  const found = after.flatMap((step) => (step.step === 'connected' ? [step.found] : []));
  expect(found[0]?.received.map(({ amountSats, accountId }) => [amountSats, accountId])).toEqual([
    ['7', 'bob'],
    ['1', 'alice'],
  ]);
  expect(found[1]?.spent).toMatchObject([{ prevTxid: payment.getId(), amountSats: '7', accountId: 'bob' }]);

  // It is settled: the next start writes nothing.
  const { length } = await ledger.log();
  await ledger.followToTip(source);
  expect(await ledger.log()).toHaveLength(length);
});

test('an address that gets its account between scan and append, and a crash: the deposit is the account’s', async () => {
  const ledger = await newLedger();
  const source = createMemorySource();
  await ledger.createWallet('gap', { descriptor: RECEIVE, gapLimit: 3 });
  const script = deriveScript(storedDescriptor(RECEIVE, 'regtest'), 1);
  const data = { walletId: 'gap', accountId: 'bob', branch: 0 as const, index: 1, script: hex(script), address: 'x' };
  source.add(makeBlock(source.best, { transactions: [pay(7n, 'p', script)] }));
  await crashInTheWindow(ledger, source, () => ledger.append('wallet-gap', { type: 'AddressIssued', data }));
  await ledger.followToTip(source);
  const received = (await ledger.chainStory()).flatMap((s) => (s.step === 'connected' ? s.found.received : []));
  expect(received.map(({ accountId }) => accountId)).toEqual([null, 'bob']);
});

test('what was watched between scan and append, and is not paid, is looked for once and changes nothing', async () => {
  const ledger = await newLedger();
  const source = createMemorySource();
  source.extend(2);
  await crashInTheWindow(ledger, source, () => ledger.watchScript('w', Uint8Array.of(0x53)));
  source.extend(1);
  const asked: string[] = [];
  const counting = {
    ...source,
    blocks: (hashes: readonly string[]) => {
      asked.push(...hashes);
      return source.blocks(hashes);
    },
  };
  await ledger.followToTip(counting);
  expect(asked).toHaveLength(3);
  expect((await ledger.chainStory()).filter(({ step }) => step === 'disconnected')).toEqual([]);
  await ledger.followToTip(counting);
  expect(asked).toHaveLength(3);
});

test('a block that must be looked into again and is gone from the source stops the follower, by name', async () => {
  const ledger = await newLedger();
  const source = createMemorySource();
  const [block] = source.extend(1);
  await crashInTheWindow(ledger, source, () => ledger.watchScript('w', Uint8Array.of(0x53)));
  const forgetful = {
    ...source,
    blocks: () => Promise.reject(new SourceError('block-missing', 'gone')),
  };
  const { length } = await ledger.log();
  const follower = ledger.follower(forgetful);
  await follower.start();
  await expect(follower.syncNow()).rejects.toThrow(`Block ${block?.hash ?? ''} must be read again`);
  expect(follower.status()).toMatchObject({ state: 'block-missing' });
  await follower.stop();
  expect(await ledger.log()).toHaveLength(length);
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
