import { describe, expect, it } from 'vitest';
import type { NodeAnswer, PaymentNode } from '../bitcoin/payment/payment-node.js';
import type { NodeAnswerKind } from '../domain/events/payout-events.js';
import { accepted } from '../../test/support/regtest-coins.js';
import { RECIPIENTS, type PayoutLedger } from '../../test/support/payout-ledger.js';
import { AT_REST, booksAtRest, dataOf, payoutLedgers } from '../../test/support/payout-ledgers.js';

const open = payoutLedgers();
const [TO] = RECIPIENTS;

async function paying(ledger: PayoutLedger, amountSats = 1_000_000n): Promise<void> {
  await ledger.withdraw({ withdrawalId: 'w1', amountSats });
  await ledger.settle();
}

const mempool = (ledger: PayoutLedger): string[] => ledger.chain.mempool.list().map(({ txid }) => txid);

async function signedBytes(ledger: PayoutLedger, at: number): Promise<string> {
  return (await dataOf(ledger, 'CandidateSigned'))[at]?.transaction ?? '';
}

async function everyPairShares(ledger: PayoutLedger): Promise<boolean> {
  const signed = await dataOf(ledger, 'CandidateSigned');
  return signed.every((one) => signed.every((other) => one.inputs.some((input) => other.inputs.includes(input))));
}

/** A node that refuses some transactions, however it is asked. */
function refusing(node: PaymentNode, refuses: (transaction: string) => NodeAnswerKind | undefined): PaymentNode {
  const answer = async (transaction: string, ask: () => Promise<NodeAnswer>): Promise<NodeAnswer> => {
    const kind = refuses(transaction);
    return kind === undefined ? await ask() : { kind, detail: 'rejecting replacement' };
  };
  return {
    ...node,
    testAccept: (transaction, coins) => answer(transaction, () => node.testAccept(transaction, coins)),
    broadcast: (transaction, coins) => answer(transaction, () => node.broadcast(transaction, coins)),
  };
}

describe('a bump by hand', () => {
  it('replaces the payment in the mempool by one that pays the rate asked for, from the same coins', async () => {
    const ledger = await open();
    await paying(ledger);
    const [before] = mempool(ledger);
    expect(await ledger.bump('w1', 50)).toMatchObject({ kind: 'done' });
    await ledger.settle();
    const [, second] = await dataOf(ledger, 'CandidatePrepared');
    expect(second).toMatchObject({ kind: 'payment', feeSource: 'asked' });
    const { feeSats = '0', weight = 1 } = second?.transaction ?? {};
    expect(Number(feeSats) / (weight / 4)).toBeGreaterThanOrEqual(50);
    expect(mempool(ledger)).toEqual([second?.transaction.txid]);
    expect(mempool(ledger)).not.toContain(before);
    expect(await everyPairShares(ledger)).toBe(true);
    await ledger.mine(6);
    await ledger.settle();
    expect(ledger.receivedAt(TO)).toEqual([1_000_000n]);
    expect(await booksAtRest(ledger)).toEqual(AT_REST);
  });

  it('that is too small is refused and said to be, and nothing is signed', async () => {
    const ledger = await open();
    await paying(ledger);
    await ledger.bump('w1', 1);
    await ledger.settle();
    expect(await dataOf(ledger, 'BumpRefused')).toMatchObject([{ reason: 'fee-too-low' }]);
    expect(await ledger.events('CandidatePrepared')).toHaveLength(1);
  });

  it('that the node does not take is reported as refused by it, and the first payment goes on', async () => {
    // A node that wants more for a replacement than it says.
    let first: string | undefined;
    const ledger = await open({
      wrapNode: (node) =>
        refusing(node, (transaction) => {
          first ??= transaction;
          return first === transaction ? undefined : 'fee-too-low';
        }),
    });
    await paying(ledger);
    const before = mempool(ledger);
    await ledger.bump('w1', 20);
    await ledger.settle();
    expect(await dataOf(ledger, 'BumpRefused')).toMatchObject([{ reason: 'refused-by-node' }]);
    expect((await dataOf(ledger, 'CandidateOffered')).map(({ answer }) => answer)).toEqual([
      'accepted',
      'fee-too-low',
      'already-known',
    ]);
    expect(mempool(ledger)).toEqual(before);
    await ledger.mine(6);
    await ledger.settle();
    expect(ledger.receivedAt(TO)).toEqual([1_000_000n]);
  });

  it('comes too late for what is in a block', async () => {
    const ledger = await open({ policy: { completeAt: 3 } });
    await paying(ledger);
    await ledger.mine();
    await ledger.bump('w1', 50);
    await ledger.settle();
    expect(await dataOf(ledger, 'BumpRefused')).toMatchObject([{ reason: 'confirmed' }]);
    expect(await ledger.events('CandidatePrepared')).toHaveLength(1);
  });

  it('adds a confirmed coin where the change does not suffice', async () => {
    const ledger = await open();
    // All coins, and hardly any change.
    await paying(ledger, 99_990_000n);
    const [{ address } = { address: '' }] = await dataOf(ledger, 'AddressIssued');
    const { txid } = accepted(await ledger.chain.pay({ address, amountSats: 1_000_000n }));
    const coin = await ledger.chain.findTransaction(txid);
    await ledger.mine(1, [Buffer.from(coin?.raw ?? []).toString('hex')]);
    const [first] = await dataOf(ledger, 'CandidatePrepared');
    await ledger.bump('w1', 100);
    await ledger.settle();
    const [, second] = await dataOf(ledger, 'CandidatePrepared');
    expect(second?.transaction.inputs.length).toBeGreaterThan(first?.transaction.inputs.length ?? 0);
    expect(await everyPairShares(ledger)).toBe(true);
    expect(mempool(ledger)).toEqual([second?.transaction.txid]);
  });
});

describe('a payment whose original confirms instead of its replacement', () => {
  it('is settled by the original, once, and the books keep only what the chain took', async () => {
    const ledger = await open();
    await paying(ledger);
    await ledger.bump('w1', 50);
    await ledger.settle();
    await ledger.mine(1, [await signedBytes(ledger, 0)]);
    await ledger.mine(5);
    await ledger.settle();
    const [first] = await dataOf(ledger, 'CandidateSigned');
    expect(await dataOf(ledger, 'PayoutSettled')).toMatchObject([{ txid: first?.txid, feeSats: first?.feeSats }]);
    expect(ledger.receivedAt(TO)).toEqual([1_000_000n]);
    expect(await booksAtRest(ledger)).toEqual(AT_REST);
    const { reserved } = await ledger.commands.walletState('hot');
    expect(reserved.size).toBe(0);
  });

  it('and by another candidate after a reorg: settled once, the difference of the fees booked at the end', async () => {
    const ledger = await open();
    await paying(ledger);
    await ledger.bump('w1', 50);
    await ledger.settle();
    await ledger.mine(2, [await signedBytes(ledger, 0)]);
    await ledger.settle();
    expect(await ledger.events('PayoutSettled')).toHaveLength(1);
    await ledger.chain.reorg({ depth: 2, blocks: 3, dropTransactions: true });
    await ledger.mine(1, [await signedBytes(ledger, 1)]);
    await ledger.mine(5);
    await ledger.settle();
    const [first, second] = await dataOf(ledger, 'CandidateSigned');
    expect(await dataOf(ledger, 'PayoutClosed')).toMatchObject([
      { txid: second?.txid, extraFeeSats: String(BigInt(second?.feeSats ?? 0) - BigInt(first?.feeSats ?? 0)) },
    ]);
    expect(ledger.receivedAt(TO)).toEqual([1_000_000n]);
    expect(await ledger.events('WithdrawalSettled')).toHaveLength(1);
    expect(await booksAtRest(ledger)).toEqual(AT_REST);
  });
});

describe('a target that is missed', () => {
  it('replaces the payment on its own, rising from block to block, and stops at the budget', async () => {
    const ledger = await open();
    await ledger.withdraw({ withdrawalId: 'w1', amountSats: 1_000_000n, maxFeeSats: 1_500n, confirmationTarget: 2 });
    await ledger.settle();
    for (let block = 0; block < 12; block++) {
      await ledger.mine(1, []);
      ledger.clock.aheadMs += 700_000;
      await ledger.settle();
    }
    const prepared = await dataOf(ledger, 'CandidatePrepared');
    const fees = prepared.map(({ transaction }) => Number(transaction.feeSats));
    expect(prepared.length).toBeGreaterThan(2);
    expect(fees).toEqual([...fees].sort((a, b) => a - b));
    expect(Math.max(...fees)).toBeLessThanOrEqual(1_500);
    // What it is raised by grows as well: it is overdue by more.
    expect((fees[3] ?? 0) - (fees[2] ?? 0)).toBeGreaterThanOrEqual((fees[2] ?? 0) - (fees[1] ?? 0));
    expect(prepared.slice(1).every(({ feeSource }) => feeSource === 'deadline')).toBe(true);
    expect((await dataOf(ledger, 'BumpRefused')).map(({ reason }) => reason)).toEqual(['fee-above-bound']);
    expect(await everyPairShares(ledger)).toBe(true);
    await ledger.mine(6);
    await ledger.settle();
    expect(ledger.receivedAt(TO)).toEqual([1_000_000n]);
    expect(await booksAtRest(ledger)).toEqual(AT_REST);
  });
});

describe('a payment whose change is spent by another', () => {
  it('is not replaced: the other is raised to pay for both, and both are paid once', async () => {
    const ledger = await open();
    await paying(ledger, 95_000_000n);
    await ledger.withdraw({ withdrawalId: 'w2', amountSats: 1_000_000n, address: RECIPIENTS[1] });
    await ledger.settle();
    const [parent, child] = await dataOf(ledger, 'CandidatePrepared');
    expect(child?.transaction.inputs).toMatchObject([{ txid: parent?.transaction.txid, blockHash: null }]);
    await ledger.bump('w1', 40);
    await ledger.settle();
    expect(await dataOf(ledger, 'BumpRefused')).toMatchObject([
      { payoutId: parent?.payoutId, reason: 'not-replaceable' },
    ]);
    const raised = (await dataOf(ledger, 'CandidatePrepared'))[2];
    expect(raised?.payoutId).toBe(child?.payoutId);
    const fee = BigInt(parent?.transaction.feeSats ?? 0) + BigInt(raised?.transaction.feeSats ?? 0);
    const weight = (parent?.transaction.weight ?? 0) + (raised?.transaction.weight ?? 0);
    expect(Number(fee) / (weight / 4)).toBeGreaterThanOrEqual(39.9);
    expect(mempool(ledger)).toEqual([parent?.transaction.txid, raised?.transaction.txid]);
    await ledger.mine(6);
    await ledger.settle();
    expect(ledger.receivedAt(TO)).toEqual([95_000_000n]);
    expect(ledger.receivedAt(RECIPIENTS[1])).toEqual([1_000_000n]);
    expect(await booksAtRest(ledger)).toEqual(AT_REST);
  });

  it('where the node takes no replacement, a child of its own change pays for it (CPFP)', async () => {
    // A node that takes the first payment and what builds on it, and nothing that would replace it.
    const known: string[] = [];
    const ledger = await open({
      wrapNode: (node) =>
        refusing(node, (transaction) => {
          if (!known.includes(transaction)) known.push(transaction);
          return known.indexOf(transaction) === 1 ? 'refused' : undefined;
        }),
    });
    await paying(ledger);
    await ledger.bump('w1', 20);
    await ledger.settle();
    await ledger.bump('w1', 30);
    await ledger.settle();
    const prepared = await dataOf(ledger, 'CandidatePrepared');
    expect(prepared.map(({ kind }) => kind)).toEqual(['payment', 'payment', 'child']);
    expect(mempool(ledger)).toEqual([prepared[0]?.transaction.txid, prepared[2]?.transaction.txid]);
    await ledger.mine(6);
    await ledger.settle();
    const [settled] = await dataOf(ledger, 'PayoutSettled');
    expect(settled?.feeSats).toBe(prepared[0]?.transaction.feeSats);
    expect(await dataOf(ledger, 'PayoutClosed')).toMatchObject([
      { extraFeeSats: prepared[2]?.transaction.feeSats, txid: prepared[0]?.transaction.txid },
    ]);
    expect(ledger.receivedAt(TO)).toEqual([1_000_000n]);
    expect(await booksAtRest(ledger)).toEqual(AT_REST);
    expect((await ledger.commands.walletState('hot')).reserved.size).toBe(0);
  });
});
