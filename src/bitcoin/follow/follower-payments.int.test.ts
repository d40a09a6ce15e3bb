import type { Transaction } from 'bitcoinjs-lib';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../../test/support/database.js';
import { createFollowLedger, type ChainStep, type FollowLedger } from '../../../test/support/follow-ledger.js';
import { createMemorySource, makeBlock, makeTransaction } from '../../../test/support/memory-chain.js';
import type { DomainEvent } from '../../domain/events/event-types.js';
import { deriveScript } from '../descriptors/derive-script.js';
import { storedDescriptor } from '../descriptors/stored-descriptor.js';

/** BIP84's test vector for test networks, both branches. */
const KEY =
  'tpubDC8msFGeGuwnKG9Upg7DM2b4DaRqg3CUZa5g8v2SRQ6K4NSkxUgd7HsL2XVWbVm39yBA4LAxysQAm397zwQSQoQgewGiYZqrA9DsP4zbQ1M';
const scriptAt = (branch: 0 | 1, index: number): Uint8Array =>
  deriveScript(storedDescriptor(`wpkh(${KEY}/${branch}/*)`, 'regtest'), index);
const PAYEE = Uint8Array.of(0, 20, ...new Array<number>(20).fill(7));

let db: TestDatabase;
let ledgers = 0;
beforeAll(async () => {
  db = await createTestDatabase();
});
afterAll(() => db.drop());

const payUs = (name: string): Transaction =>
  makeTransaction(
    [{ txid: Buffer.from(name.padEnd(32)).toString('hex'), vout: 0 }],
    [{ script: scriptAt(0, 0), amountSats: 10_000n }],
  );
const spend = (coin: Transaction): Transaction =>
  makeTransaction(
    [{ txid: coin.getId(), vout: 0 }],
    [
      { script: PAYEE, amountSats: 6_000n },
      { script: scriptAt(1, 0), amountSats: 3_000n },
      // Somebody is paid at an address of ours: a deposit like any other.
      { script: scriptAt(0, 1), amountSats: 500n },
    ],
  );

function signedEvent(payment: Transaction, coin: Transaction): DomainEvent {
  return {
    type: 'CandidateSigned',
    data: {
      payoutId: 'p',
      candidate: 0,
      txid: payment.getId(),
      transaction: payment.toHex(),
      inputs: [`${coin.getId()}:0`],
      changeVouts: [1],
      feeSats: '500',
      weight: 800,
    },
  };
}

function preparedEvent(payment: Transaction, coin: Transaction): DomainEvent {
  const input = { txid: coin.getId(), vout: 0, amountSats: '10000', script: '00', sequence: 0, blockHash: null };
  return {
    type: 'CandidatePrepared',
    data: {
      payoutId: 'q',
      candidate: 0,
      kind: 'payment',
      transaction: {
        version: 2,
        locktime: 0,
        inputs: [{ ...input, derivation: { branch: 0, index: 0 } }],
        outputs: payment.outs.map(({ script, value }, vout) => ({
          script: Buffer.from(script).toString('hex'),
          amountSats: value.toString(),
          withdrawalId: vout === 1 ? null : `w${vout}`,
          changeIndex: vout === 1 ? 0 : null,
        })),
        feeSats: '500',
        weight: 800,
        feeRateSatsPerKvb: '1000',
        txid: payment.getId(),
      },
      feeSource: 'estimate',
      feeReason: '',
    },
  };
}

async function newLedger(): Promise<FollowLedger> {
  const ledger = createFollowLedger(db, `payments-${++ledgers}`);
  const descriptors = { descriptor: `wpkh(${KEY}/0/*)`, changeDescriptor: `wpkh(${KEY}/1/*)`, gapLimit: 3 };
  await ledger.createWallet('w', descriptors);
  return ledger;
}

/** What the connected blocks say of payments, the last connect of each height. */
async function paymentsOf(ledger: FollowLedger): Promise<object[]> {
  const connected: Extract<ChainStep, { step: 'connected' }>[] = [];
  for (const step of await ledger.chainStory()) {
    if (step.step === 'connected') connected.push(step);
    if (step.step === 'disconnected') connected.pop();
  }
  return connected
    .filter(({ found }) => found.spent.length > 0)
    .map(({ found }) => ({
      spent: found.spent.map(({ payoutId }) => payoutId),
      received: found.received.map(({ vout, payoutId }) => [vout, payoutId]),
    }));
}

const OURS = {
  spent: ['p'],
  received: [
    [1, 'p'],
    [2, null],
  ],
};
const STRANGERS = {
  spent: [null],
  received: [
    [1, null],
    [2, null],
  ],
};

test('a block says which spends are payments of ours and which outputs their change', async () => {
  const ledger = await newLedger();
  const source = createMemorySource();
  const [ours, stolen] = [payUs('ours'), payUs('stolen')];
  source.add(makeBlock(source.best, { transactions: [ours, stolen] }));
  await ledger.followToTip(source);
  await ledger.append('payout-p', signedEvent(spend(ours), ours));
  source.add(makeBlock(source.best, { transactions: [spend(ours)] }));
  source.add(makeBlock(source.best, { transactions: [spend(stolen)] }));
  await ledger.followToTip(source);
  expect(await paymentsOf(ledger)).toEqual([OURS, STRANGERS]);
});

test('a payment that is signed between the scan of its block and its append is known as ours all the same', async () => {
  const ledger = await newLedger();
  const source = createMemorySource();
  const coin = payUs('raced');
  source.add(makeBlock(source.best, { transactions: [coin] }));
  await ledger.followToTip(source);
  source.add(makeBlock(source.best, { transactions: [spend(coin)] }));
  source.extend(1);
  let isSigned = false;
  const append = ledger.store.append.bind(ledger.store);
  const store = {
    ...ledger.store,
    append: async (request: Parameters<typeof append>[0]) => {
      if (!isSigned) await ledger.append('payout-p', signedEvent(spend(coin), coin));
      isSigned = true;
      return append(request);
    },
  };
  await ledger.followToTip(source, { store });
  expect(await paymentsOf(ledger)).toEqual([OURS]);
  expect(ledger.fatal).toEqual([]);
});

test('a payment that turns out to be ours, or not, after its block was connected: the block is connected again', async () => {
  const ledger = await newLedger();
  const source = createMemorySource();
  const [late, voided] = [payUs('late'), payUs('voided')];
  source.add(makeBlock(source.best, { transactions: [late, voided] }));
  await ledger.followToTip(source);
  await ledger.append('payout-q', preparedEvent(spend(voided), voided));
  source.add(makeBlock(source.best, { transactions: [spend(late)] }));
  source.add(makeBlock(source.best, { transactions: [spend(voided)] }));
  source.extend(1);
  await ledger.followToTip(source);
  const prepared = { spent: ['q'], received: [[1, 'q'], ...STRANGERS.received.slice(1)] };
  expect(await paymentsOf(ledger)).toEqual([STRANGERS, prepared]);
  await ledger.append('payout-p', signedEvent(spend(late), late));
  await ledger.followToTip(source);
  expect(await paymentsOf(ledger)).toEqual([OURS, prepared]);
  await ledger.append('payout-q', {
    type: 'WithdrawalRemoved',
    data: { payoutId: 'q', withdrawalId: 'w1', reason: null },
  });
  await ledger.followToTip(source);
  expect(await paymentsOf(ledger)).toEqual([OURS, STRANGERS]);
  const steps = (await ledger.chainStory()).length;
  source.extend(1);
  await ledger.followToTip(source);
  expect((await ledger.chainStory()).length, 'nothing is left in doubt').toBe(steps + 1);
});

test('also where the process that connected the block goes on', async () => {
  const ledger = await newLedger();
  const source = createMemorySource();
  const late = payUs('late');
  source.add(makeBlock(source.best, { transactions: [late] }));
  const follower = ledger.follower(source);
  await follower.start();
  onTestFinished(() => follower.stop());
  await follower.syncNow();
  source.add(makeBlock(source.best, { transactions: [spend(late)] }));
  await follower.syncNow();
  expect(await paymentsOf(ledger)).toEqual([STRANGERS]);
  await ledger.append('payout-p', signedEvent(spend(late), late));
  source.extend(1);
  await follower.syncNow();
  expect(await paymentsOf(ledger)).toEqual([OURS]);
  expect(ledger.fatal).toEqual([]);
});

test('a payment of a closed payout is ours again when a reorg takes its block off and another holds it', async () => {
  const ledger = await newLedger();
  const source = createMemorySource();
  const coin = payUs('closed');
  const base = source.add(makeBlock(source.best, { transactions: [coin] }));
  await ledger.append('payout-p', signedEvent(spend(coin), coin));
  source.add(makeBlock(source.best, { transactions: [spend(coin)] }));
  await ledger.followToTip(source);
  const closed = { payoutId: 'p', txid: spend(coin).getId(), extraFeeSats: '0', postings: [] };
  await ledger.append('payout-p', { type: 'PayoutClosed', data: closed });
  const [first] = source.extend(1, { parent: base, tag: 'b' });
  source.add(makeBlock(first ?? base, { transactions: [spend(coin)], tag: 'b' }));
  await ledger.followToTip(source);
  expect((await ledger.chainStory()).filter(({ step }) => step === 'disconnected')).toHaveLength(1);
  expect(await paymentsOf(ledger)).toEqual([OURS]);
});
