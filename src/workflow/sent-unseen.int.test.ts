import { describe, expect, it } from 'vitest';
import type { PaymentNode } from '../bitcoin/payment/payment-node.js';
import { RetryableError } from '../platform/errors.js';
import { createTestPayer } from '../../test/support/payment-plan.js';
import { accepted } from '../../test/support/regtest-coins.js';
import { RECIPIENTS, type PayoutLedger, type PayoutLedgerOptions } from '../../test/support/payout-ledger.js';
import { AT_REST, booksAtRest, dataOf, payoutLedgers } from '../../test/support/payout-ledgers.js';

const open = payoutLedgers();
const [TO] = RECIPIENTS;

/** A payment that is prepared, and was signed by somebody who does not bring it back. */
async function signedElsewhere(
  options: PayoutLedgerOptions = {},
): Promise<{ ledger: PayoutLedger; signed: { txid: string; transaction: string } }> {
  const ledger = await open({ signer: 'none', ...options });
  await ledger.withdraw({ withdrawalId: 'w1', amountSats: 1_000_000n });
  await ledger.settle();
  const [prepared] = await dataOf(ledger, 'CandidatePrepared');
  if (prepared === undefined) throw new Error('nothing is prepared');
  return { ledger, signed: await ledger.signWithKey(prepared.transaction) };
}

async function isPaidOnce(ledger: PayoutLedger): Promise<void> {
  await ledger.mine(6);
  await ledger.settle();
  expect(ledger.receivedAt(TO)).toEqual([1_000_000n]);
  expect(await ledger.events('WithdrawalSettled', 'PayoutClosed')).toHaveLength(2);
  expect(await ledger.events('PayoutHalted')).toEqual([]);
  expect(await booksAtRest(ledger)).toEqual(AT_REST);
}

describe('a payment that its signer sends without bringing it back', () => {
  it('is signed from the moment that the node is seen to have it', async () => {
    const { ledger, signed } = await signedElsewhere();
    accepted(await ledger.chain.submitTransaction(signed.transaction));
    ledger.clock.aheadMs += 600_000;
    await ledger.settle();
    expect(await dataOf(ledger, 'CandidateSigned')).toMatchObject([{ txid: signed.txid }]);
    await isPaidOnce(ledger);
  });

  it('cannot be cancelled, though nobody has looked yet: the node is asked first', async () => {
    const { ledger, signed } = await signedElsewhere();
    accepted(await ledger.chain.submitTransaction(signed.transaction));
    expect(await ledger.cancel('w1')).toMatchObject({ kind: 'rejected', code: 'withdrawal-not-cancellable' });
    await isPaidOnce(ledger);
  });

  it('cannot be cancelled while the node does not answer: nobody knows then', async () => {
    let isAway = false;
    const wrapNode = (node: PaymentNode): PaymentNode => ({
      ...node,
      find: (txid) => (isAway ? Promise.reject(new RetryableError('connection refused')) : node.find(txid)),
    });
    const { ledger } = await signedElsewhere({ wrapNode });
    isAway = true;
    await expect(ledger.cancel('w1')).rejects.toThrow(RetryableError);
    isAway = false;
    expect(await ledger.cancel('w1')).toMatchObject({ kind: 'done' });
  });

  it.each(['mempool', 'block'] as const)(
    'is recognised in a %s also where its txid could not be known before it was signed',
    async (where) => {
      const { ledger, signed } = await signedElsewhere({ payer: createTestPayer('pkh') });
      expect((await dataOf(ledger, 'CandidatePrepared'))[0]?.transaction.txid).toBeNull();
      if (where === 'mempool') accepted(await ledger.chain.submitTransaction(signed.transaction));
      else await ledger.mine(1, [signed.transaction]);
      ledger.clock.aheadMs += 600_000;
      await ledger.settle();
      expect(await dataOf(ledger, 'CandidateSigned')).toMatchObject([{ txid: signed.txid }]);
      expect(await ledger.cancel('w1')).toMatchObject({ kind: 'rejected', code: 'withdrawal-not-cancellable' });
      await isPaidOnce(ledger);
    },
  );

  it('is not taken for it when somebody else spends its coins there', async () => {
    const { ledger } = await signedElsewhere({ payer: createTestPayer('pkh') });
    const [prepared] = await dataOf(ledger, 'CandidatePrepared');
    const input = prepared?.transaction.inputs[0];
    if (prepared === undefined || input === undefined) throw new Error('nothing is prepared');
    const stolen = await ledger.signWithKey({
      ...prepared.transaction,
      inputs: [input],
      outputs: [{ script: `0014${'99'.repeat(20)}`, amountSats: '9000000', withdrawalId: null, changeIndex: null }],
      feeSats: String(BigInt(input.amountSats) - 9_000_000n),
      weight: 4_000,
    });
    accepted(await ledger.chain.submitTransaction(stolen.transaction));
    ledger.clock.aheadMs += 600_000;
    await ledger.settle();
    await ledger.mine();
    await ledger.settle();
    expect(await ledger.events('CandidateSigned')).toEqual([]);
    expect(await dataOf(ledger, 'PayoutHalted')).toMatchObject([{ byTxid: stolen.txid }]);
  });
});
