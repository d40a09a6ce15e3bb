import type { Transaction } from 'bitcoinjs-lib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../../test/support/database.js';
import { createFollowLedger, type ChainStep, type FollowLedger } from '../../../test/support/follow-ledger.js';
import { createMemorySource, makeBlock, makeTransaction } from '../../../test/support/memory-chain.js';
import { MAX_EVENT_BYTES } from '../../eventstore/event-store.js';
import { scriptToAddress } from '../descriptors/address-script.js';
import { deriveScript } from '../descriptors/derive-script.js';
import { storedDescriptor } from '../descriptors/stored-descriptor.js';

/** BIP84's test vector for test networks, both branches. */
const KEY =
  'tpubDC8msFGeGuwnKG9Upg7DM2b4DaRqg3CUZa5g8v2SRQ6K4NSkxUgd7HsL2XVWbVm39yBA4LAxysQAm397zwQSQoQgewGiYZqrA9DsP4zbQ1M';
const RECEIVE = `wpkh(${KEY}/0/*)`;
const CHANGE = `wpkh(${KEY}/1/*)`;
const scriptAt = (branch: 0 | 1, index: number): Uint8Array =>
  deriveScript(storedDescriptor(branch === 0 ? RECEIVE : CHANGE, 'regtest'), index);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

let db: TestDatabase;
let ledgers = 0;
beforeAll(async () => {
  db = await createTestDatabase();
});
afterAll(() => db.drop());

let payments = 0;
const pay = (script: Uint8Array, amountSats = 1_000n): Transaction =>
  makeTransaction(
    [{ txid: Buffer.from(`payment ${++payments}`.padEnd(32)).toString('hex'), vout: 0 }],
    [{ script, amountSats }],
  );
const connectedOf = (steps: readonly ChainStep[]) => steps.flatMap((step) => (step.step === 'connected' ? [step] : []));

async function newLedger(gapLimit: number): Promise<FollowLedger> {
  const ledger = createFollowLedger(db, `watch-${++ledgers}`);
  await ledger.createWallet('w', { descriptor: RECEIVE, changeDescriptor: CHANGE, gapLimit });
  return ledger;
}

const issue = (ledger: FollowLedger, index: number, accountId: string | null): Promise<void> => {
  const script = scriptAt(0, index);
  const address = scriptToAddress(script, 'regtest') ?? '';
  return ledger.append('wallet-w', {
    type: 'AddressIssued',
    data: { walletId: 'w', accountId, branch: 0, index, script: hex(script), address },
  });
};

test('the gap limit moves within one block, on both branches, and not past a gap', async () => {
  const ledger = await newLedger(3);
  const source = createMemorySource();
  const indexes = [2, 5, 8, 11, 15];
  source.add(
    // In reverse, so that each is found only after the one behind it has moved the limit.
    makeBlock(source.best, {
      transactions: [
        ...[...indexes].reverse().map((index) => pay(scriptAt(0, index))),
        pay(scriptAt(1, 3)),
        pay(scriptAt(1, 2)),
      ],
    }),
  );
  await ledger.followToTip(source);
  const [block] = connectedOf(await ledger.chainStory());
  expect(
    block?.found.received.map(({ derivation, walletId, accountId }) => ({ ...derivation, walletId, accountId })),
  ).toEqual(
    [
      { branch: 0, index: 11 },
      { branch: 0, index: 8 },
      { branch: 0, index: 5 },
      { branch: 0, index: 2 },
      { branch: 1, index: 3 },
      { branch: 1, index: 2 },
    ].map((place) => ({ ...place, walletId: 'w', accountId: null })),
  );
  // A new process derives the same from the log: 12 to 14 are watched now, 15 is not.
  source.add(makeBlock(source.best, { transactions: [pay(scriptAt(0, 15)), pay(scriptAt(0, 14))] }));
  await ledger.followToTip(source);
  expect(connectedOf(await ledger.chainStory())[1]?.found.received).toHaveLength(2);
});

test('an address gets its account when it is handed out; what came before stays the house’s, also when it is spent', async () => {
  const ledger = await newLedger(3);
  const source = createMemorySource();
  const [early, late] = [pay(scriptAt(0, 0), 5n), pay(scriptAt(0, 0), 6n)];
  source.add(makeBlock(source.best, { transactions: [early] }));
  await ledger.followToTip(source);
  await issue(ledger, 0, 'alice');
  source.add(makeBlock(source.best, { transactions: [late] }));
  const spend = makeTransaction(
    [early, late].map((coin) => ({ txid: coin.getId(), vout: 0 })),
    [{ script: scriptAt(1, 0), amountSats: 10n }],
  );
  source.add(makeBlock(source.best, { transactions: [spend] }));
  await ledger.followToTip(source);
  const blocks = connectedOf(await ledger.chainStory());
  expect(blocks[0]?.found.received[0]).toMatchObject({ accountId: null, derivation: { branch: 0, index: 0 } });
  expect(blocks[1]?.found.received[0]).toMatchObject({ accountId: 'alice' });
  expect(blocks[2]?.found.spent.map(({ accountId, amountSats }) => [accountId, amountSats])).toEqual([
    [null, '5'],
    ['alice', '6'],
  ]);
  expect(blocks[2]?.found.received[0]).toMatchObject({ derivation: { branch: 1, index: 0 }, accountId: null });
});

test('the first watcher of a script owns it, also where the first one watched it ahead', async () => {
  const ledger = await newLedger(3);
  await ledger.createWallet('second');
  await ledger.watchScript('second', scriptAt(0, 1), 'bob');
  await ledger.watchScript('second', scriptAt(0, 9), 'bob');
  await issue(ledger, 8, 'alice');
  const source = createMemorySource();
  source.add(makeBlock(source.best, { transactions: [pay(scriptAt(0, 1)), pay(scriptAt(0, 9))] }));
  await ledger.followToTip(source);
  const [block] = connectedOf(await ledger.chainStory());
  expect(block?.found.received.map(({ walletId, accountId }) => [walletId, accountId])).toEqual([
    ['w', null],
    ['second', 'bob'],
  ]);
});

test('a block with more for us than fits into an event comes in parts, and so does a transaction of many inputs', async () => {
  const ledger = await newLedger(3);
  const source = createMemorySource();
  const outputs = Array.from({ length: 3_000 }, (_, i) => ({ script: scriptAt(0, 0), amountSats: BigInt(i) }));
  const inputs = Array.from({ length: 12_000 }, (_, vout) => ({ txid: '77'.repeat(32), vout }));
  const large = makeTransaction(inputs, outputs);
  source.add(makeBlock(source.best, { transactions: [large] }));
  const txid = large.getId();
  const sweep = makeTransaction(
    outputs.map((_, vout) => ({ txid, vout })),
    [{ script: Uint8Array.of(0x51), amountSats: 1n }],
  );
  source.add(makeBlock(source.best, { transactions: [sweep] }));
  await ledger.followToTip(source);
  const log = (await ledger.log()).filter(({ stream }) => stream === 'chain-regtest');
  for (const { data } of log) expect(JSON.stringify(data).length).toBeLessThanOrEqual(MAX_EVENT_BYTES);
  expect(log.filter(({ type }) => type === 'TransfersFound').length).toBeGreaterThanOrEqual(6);
  const blocks = connectedOf(await ledger.chainStory());
  expect(blocks[0]?.found.received.map(({ amountSats }) => amountSats)).toEqual(
    outputs.map(({ amountSats }) => `${amountSats}`),
  );
  expect(blocks[0]?.found.funding.flatMap((part) => part.inputs)).toEqual(
    inputs.map(({ txid, vout }) => `${txid}:${vout}`),
  );
  expect(blocks[1]?.found.spent).toHaveLength(3_000);

  // Undone and done again, by a process that has to read the parts back.
  const [parent] = connectedOf(await ledger.chainStory());
  source.extend(3, {
    parent: { hash: source.blocksByHash.get(parent?.hash ?? '')?.prevHash ?? '', height: 0 },
    tag: 'b',
  });
  await ledger.followToTip(source);
  source.setTip(makeTwoMore(source, blocks[1]?.hash ?? ''));
  await ledger.followToTip(source);
  const again = connectedOf(await ledger.chainStory()).filter(({ hash }) => hash === blocks[0]?.hash);
  expect(again).toHaveLength(2);
  expect(again[1]?.found).toEqual(again[0]?.found);
});

function makeTwoMore(source: ReturnType<typeof createMemorySource>, hash: string) {
  const parent = source.blocksByHash.get(hash);
  if (!parent) throw new Error('no such block');
  return source.extend(2, { parent }).at(-1) ?? parent;
}
