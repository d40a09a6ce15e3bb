import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../../test/support/database.js';
import { createFollowLedger, type ChainStep, type FollowLedger } from '../../../test/support/follow-ledger.js';
import { createMemorySource, makeBlock, makeTransaction, REGTEST_GENESIS } from '../../../test/support/memory-chain.js';
import type { Transaction } from 'bitcoinjs-lib';

let db: TestDatabase;
let ledgers = 0;
beforeAll(async () => {
  db = await createTestDatabase();
});
afterAll(() => db.drop());
const newLedger = (): FollowLedger => createFollowLedger(db, `follow-${++ledgers}`);

const OURS = Uint8Array.of(0x52);
const ALSO_OURS = Uint8Array.of(0x53);
const THEIRS = Uint8Array.of(0x54);
const pay = (script: Uint8Array, amountSats: bigint, from = `${amountSats}`): Transaction =>
  makeTransaction([{ txid: Buffer.from(from.padEnd(32)).toString('hex'), vout: 0 }], [{ script, amountSats }]);
const connectedOf = (steps: readonly ChainStep[]) => steps.flatMap((step) => (step.step === 'connected' ? [step] : []));

test('opens the chain, says the deposit policy, and connects blocks with what is ours', async () => {
  const ledger = newLedger();
  await ledger.createWallet('w');
  await ledger.watchScript('w', OURS, 'alice');
  const source = createMemorySource();
  source.extend(2);
  const deposit = pay(OURS, 1_000n);
  const block = source.add(makeBlock(source.best, { transactions: [deposit, pay(THEIRS, 7n)] }));
  const spend = makeTransaction([{ txid: deposit.getId(), vout: 0 }], [{ script: THEIRS, amountSats: 900n }]);
  source.add(makeBlock(source.best, { transactions: [spend] }));
  const follower = await ledger.followToTip(source);

  const log = (await ledger.log()).filter(({ stream }) => stream === 'chain-regtest');
  expect(log.map(({ type }) => type)).toEqual([
    'ChainOpened',
    'DepositPolicySet',
    'BlockConnected',
    'BlockConnected',
    'BlockConnected',
    'BlockConnected',
  ]);
  expect(log[0]?.data).toMatchObject({ hash: REGTEST_GENESIS, height: 0, bits: 0x207fffff });
  expect(log[4]?.data).toMatchObject({
    hash: block.hash,
    height: 3,
    transactionCount: 3,
    size: block.raw.length,
    parts: 0,
    found: {
      received: [
        {
          txid: deposit.getId(),
          vout: 0,
          amountSats: '1000',
          walletId: 'w',
          accountId: 'alice',
          coinbase: false,
          derivation: null,
        },
      ],
      spent: [],
      funding: [{ txid: deposit.getId(), inputs: [expect.stringMatching(/:0$/)] }],
      conflicts: [],
    },
  });
  expect(log[5]?.data).toMatchObject({
    found: {
      received: [],
      funding: [],
      spent: [
        {
          txid: spend.getId(),
          vin: 0,
          prevTxid: deposit.getId(),
          prevVout: 0,
          amountSats: '1000',
          script: '52',
          walletId: 'w',
          accountId: 'alice',
        },
      ],
    },
  });
  expect(follower.status()).toMatchObject({ tip: { height: 4 }, sourceTip: { height: 4 }, state: 'stopped' });
});

test('a coin that is made and spent in one block is both received and spent', async () => {
  const ledger = newLedger();
  await ledger.createWallet('w');
  await ledger.watchScript('w', OURS);
  const source = createMemorySource();
  const first = pay(OURS, 5n);
  const second = makeTransaction([{ txid: first.getId(), vout: 0 }], [{ script: OURS, amountSats: 4n }]);
  const third = makeTransaction([{ txid: second.getId(), vout: 0 }], [{ script: THEIRS, amountSats: 3n }]);
  source.add(makeBlock(source.best, { transactions: [first, second, third] }));
  await ledger.followToTip(source);
  const [block] = connectedOf(await ledger.chainStory());
  expect(block?.found.received.map(({ amountSats }) => amountSats)).toEqual(['5', '4']);
  expect(block?.found.spent.map(({ prevTxid }) => prevTxid)).toEqual([first.getId(), second.getId()]);
});

test('a reorg takes back, and what confirms again on the other branch is the same transfer', async () => {
  const ledger = newLedger();
  await ledger.createWallet('w');
  await ledger.watchScript('w', OURS);
  const source = createMemorySource();
  const [fork] = source.extend(1);
  const deposit = pay(OURS, 5n);
  const lost = source.add(makeBlock(source.best, { transactions: [deposit] }));
  await ledger.followToTip(source);
  const [first] = source.extend(1, { parent: fork ?? lost, tag: 'b' });
  const again = source.add(makeBlock(first ?? lost, { transactions: [deposit] }));
  await ledger.followToTip(source);
  const story = await ledger.chainStory();
  expect(story.slice(-3)).toMatchObject([
    { step: 'disconnected', hash: lost.hash },
    { step: 'connected', hash: first?.hash },
    { step: 'connected', hash: again.hash, found: { received: [{ txid: deposit.getId() }], conflicts: [] } },
  ]);
  // The whole reorg was one append: one moment.
  const log = await ledger.log();
  expect(new Set(log.slice(-3).map(({ recordedAt }) => recordedAt.getTime())).size).toBe(1);
});

test('an orphan whose input another transaction spends is named as conflicted, also when the spender pays us nothing', async () => {
  const ledger = newLedger();
  await ledger.createWallet('w');
  await ledger.watchScript('w', OURS);
  const source = createMemorySource();
  const [fork] = source.extend(1);
  const deposit = pay(OURS, 5n, 'shared');
  const child = makeTransaction([{ txid: deposit.getId(), vout: 0 }], [{ script: OURS, amountSats: 4n }]);
  source.add(makeBlock(source.best, { transactions: [deposit, child] }));
  await ledger.followToTip(source);
  source.extend(2, { parent: fork ?? source.best, tag: 'b' });
  await ledger.followToTip(source);
  const thief = pay(THEIRS, 5n, 'shared');
  expect(thief.getId()).not.toBe(deposit.getId());
  source.add(makeBlock(source.best, { transactions: [thief] }));
  // A new process knows it from the log.
  await ledger.followToTip(source);
  const last = connectedOf(await ledger.chainStory()).at(-1);
  const outpoint = `${Buffer.from(deposit.ins[0]?.hash ?? [])
    .reverse()
    .toString('hex')}:0`;
  expect(last?.found).toEqual({
    received: [],
    spent: [],
    funding: [],
    conflicts: [
      { txid: deposit.getId(), byTxid: thief.getId(), outpoint },
      { txid: child.getId(), byTxid: thief.getId(), outpoint },
    ],
  });
});

test('back to the first branch: coins, orphans and conflicts follow', async () => {
  const ledger = newLedger();
  await ledger.createWallet('w');
  await ledger.watchScript('w', OURS);
  const source = createMemorySource();
  const [fork] = source.extend(1);
  if (!fork) throw new Error('no block');
  const a = pay(OURS, 5n, 'shared');
  const b = pay(OURS, 6n, 'shared');
  const withA = source.add(makeBlock(fork, { transactions: [a] }));
  await ledger.followToTip(source);
  const withB = source.add(makeBlock(fork, { transactions: [b], tag: 'b' }), { asTip: false });
  source.extend(1, { parent: withB, tag: 'b' });
  await ledger.followToTip(source);
  source.extend(2, { parent: withA, tag: 'a' });
  await ledger.followToTip(source);
  const blocks = connectedOf(await ledger.chainStory());
  expect(blocks.find(({ hash }) => hash === withB.hash)?.found.conflicts).toMatchObject([
    { txid: a.getId(), byTxid: b.getId() },
  ]);
  const second = blocks.filter(({ hash }) => hash === withA.hash)[1];
  expect(second?.found.received).toMatchObject([{ txid: a.getId() }]);
  expect(second?.found.conflicts).toMatchObject([{ txid: b.getId(), byTxid: a.getId() }]);
});

test('what is watched while the follower sleeps is found in the next block', async () => {
  const ledger = newLedger();
  const source = createMemorySource();
  source.extend(3);
  const follower = ledger.follower(source);
  await follower.start();
  try {
    await follower.syncNow();
    await ledger.createWallet('w');
    await ledger.watchScript('w', ALSO_OURS);
    source.add(makeBlock(source.best, { transactions: [pay(ALSO_OURS, 5n)] }));
    await follower.syncNow();
    expect(connectedOf(await ledger.chainStory()).at(-1)?.found.received).toHaveLength(1);
    expect(follower.status()).toMatchObject({ state: 'synced', tip: { height: 4 } });
  } finally {
    await follower.stop();
  }
});

test('a script that is watched between the scan of its block and its append is found all the same', async () => {
  const ledger = newLedger();
  await ledger.createWallet('w');
  const source = createMemorySource();
  source.extend(1);
  await ledger.followToTip(source);
  const [before, deposit] = [pay(OURS, 4n), pay(ALSO_OURS, 5n)];
  source.add(makeBlock(source.best, { transactions: [before] }));
  const paying = source.add(makeBlock(source.best, { transactions: [deposit] }));
  source.extend(1);
  let watched = false;
  const append = ledger.store.append.bind(ledger.store);
  const store = {
    ...ledger.store,
    append: async (request: Parameters<typeof append>[0]) => {
      if (!watched) await ledger.watchScript('w', ALSO_OURS);
      watched = true;
      return append(request);
    },
  };
  await ledger.followToTip(source, { store });
  const connected: ChainStep[] = [];
  for (const step of await ledger.chainStory()) {
    if (step.step === 'connected') connected.push(step);
    if (step.step === 'disconnected') connected.pop();
  }
  const blocks = connectedOf(connected);
  expect(blocks.map(({ height }) => height)).toEqual([1, 2, 3, 4]);
  expect(blocks[2]).toMatchObject({ hash: paying.hash, found: { received: [{ txid: deposit.getId() }] } });
  expect(ledger.fatal).toEqual([]);
});
