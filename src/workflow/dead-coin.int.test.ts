import { expect, it } from 'vitest';
import { RECIPIENTS, type PayoutLedger } from '../../test/support/payout-ledger.js';
import { AT_REST, booksAtRest, dataOf, payoutLedgers } from '../../test/support/payout-ledgers.js';

const open = payoutLedgers();
const [TO] = RECIPIENTS;
const THIEF_SCRIPT = '00201863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262';

/** Spends the first coin of the first payment, with the wallet's own key. */
async function theft(ledger: PayoutLedger): Promise<{ txid: string; transaction: string }> {
  const [prepared] = await dataOf(ledger, 'CandidatePrepared');
  const input = prepared?.transaction.inputs[0];
  if (prepared === undefined || input === undefined) throw new Error('nothing is prepared');
  const output = { script: THIEF_SCRIPT, amountSats: '9000000', withdrawalId: null, changeIndex: null };
  const feeSats = String(BigInt(input.amountSats) - 9_000_000n);
  const plan = { ...prepared.transaction, inputs: [input], outputs: [output], feeSats, weight: 4_000, txid: null };
  return await ledger.signWithKey(plan);
}

it('a payment that builds on one whose coin was stolen halts with it, goes on with it, and is paid again once', async () => {
  const ledger = await open();
  await ledger.withdraw({ withdrawalId: 'w1', amountSats: 95_000_000n });
  await ledger.settle();
  await ledger.withdraw({ withdrawalId: 'w2', amountSats: 1_000_000n });
  await ledger.settle();
  const [parent, child] = await dataOf(ledger, 'CandidatePrepared');
  if (parent === undefined || child === undefined) throw new Error('both are prepared');
  expect(child.transaction.inputs).toMatchObject([{ txid: parent.transaction.txid, blockHash: null }]);

  const stolen = await theft(ledger);
  await ledger.mine(1, [stolen.transaction]);
  await ledger.settle();
  const byPayout = (a: { payoutId: string }, b: { payoutId: string }): number => (a.payoutId < b.payoutId ? -1 : 1);
  const both = [parent, child].map(({ payoutId }) => ({ payoutId, byTxid: stolen.txid })).sort(byPayout);
  expect((await dataOf(ledger, 'PayoutHalted')).sort(byPayout)).toMatchObject(both);
  await ledger.chain.reorg({ depth: 1, blocks: 2, dropTransactions: true });
  await ledger.settle();
  expect((await dataOf(ledger, 'PayoutResumed')).sort(byPayout)).toMatchObject(both);

  const sent = async (): Promise<number> => {
    await ledger.settle();
    return ledger.chain.mempool.size;
  };
  // One that was offered before the other is back is refused, and offered again a moment later.
  await expect.poll(sent, { message: 'both are sent again', timeout: 20_000 }).toBe(2);
  await ledger.mine(1, [stolen.transaction]);
  await ledger.settle();
  await ledger.mine(6);
  await ledger.settle();
  expect(await ledger.resolve(parent.payoutId, 'give-up', stolen.txid)).toMatchObject({ kind: 'done' });
  expect(await ledger.resolve(child.payoutId, 'paid', stolen.txid)).toMatchObject({ code: 'payout-not-resolvable' });
  expect(await ledger.resolve(child.payoutId, 'pay-again', stolen.txid)).toMatchObject({ kind: 'done' });
  await ledger.settle();
  await ledger.mine(6);
  await ledger.settle();
  expect(ledger.receivedAt(TO)).toEqual([1_000_000n]);
  expect(await ledger.events('PayoutClosed')).toHaveLength(2);
  expect(await booksAtRest(ledger)).toEqual({ ...AT_REST, suspense: 10_000_000n });
  expect((await ledger.commands.walletState('hot')).reserved.size).toBe(0);
});
