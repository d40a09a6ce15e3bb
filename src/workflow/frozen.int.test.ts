import { describe, expect, it } from 'vitest';
import type { PsbtSigner } from '../bitcoin/payment/signer.js';
import { RECIPIENTS, type PayoutLedger } from '../../test/support/payout-ledger.js';
import { AT_REST, booksAtRest, dataOf, payoutLedgers } from '../../test/support/payout-ledgers.js';

const open = payoutLedgers();
const [TO, OTHER] = RECIPIENTS;
const HOUR_MS = 3_600_000;
/** Of bob's one deposit; the wallet pays with the larger coins of alice. */
const DEPOSIT_SATS = 1_000_000n;

/** Bob's withdrawal, and one of alice where asked for, are prepared and not signed; then a reorg takes bob's deposit. */
async function frozen(ledger: PayoutLedger, withAlice: boolean): Promise<string> {
  await ledger.fund('bob', [DEPOSIT_SATS]);
  if (withAlice) await ledger.withdraw({ withdrawalId: 'alice-1', amountSats: 5_000_000n, address: OTHER });
  await ledger.withdraw({ withdrawalId: 'bob-1', amountSats: 900_000n, accountId: 'bob' });
  await ledger.settle();
  expect(await ledger.events('CandidatePrepared')).toHaveLength(1);
  await ledger.chain.reorg({ depth: 1, blocks: 2, dropTransactions: true });
  await ledger.settle();
  return (await ledger.payoutIds())[0] ?? '';
}

const handed = async (ledger: PayoutLedger): Promise<string> => {
  const [prepared] = await dataOf(ledger, 'CandidatePrepared');
  if (prepared === undefined) throw new Error('nothing is prepared');
  return (await ledger.signWithKey(prepared.transaction)).transaction;
};

describe('what is prepared for an account that a reorg has left below zero', () => {
  it('is not asked to be signed, nor taken when it comes back, until the account is covered', async () => {
    let asked = 0;
    let isThere = false;
    const ledger = await open({
      signer: 'http',
      wrapSigners: (signers) => {
        const sign: PsbtSigner['sign'] = async (request) => {
          asked += 1;
          return isThere ? await signers.local.sign(request) : { kind: 'pending', detail: 'later' };
        };
        return { ...signers, http: { name: 'http', sign } };
      },
    });
    const payoutId = await frozen(ledger, false);
    const before = asked;
    isThere = true;
    for (let n = 0; n < 3; n++) {
      ledger.clock.aheadMs += 2 * HOUR_MS;
      await ledger.settle();
    }
    expect(asked).toBe(before);
    expect((await dataOf(ledger, 'PayoutDeferred')).map(({ reason }) => reason)).toEqual(['account-frozen']);
    expect(await ledger.bringBack(payoutId, await handed(ledger))).toMatchObject({
      kind: 'rejected',
      code: 'payout-not-ready',
    });
    // It is alone: nobody waits for it, and it waits for its money.
    expect(await ledger.events('CandidateSigned', 'WithdrawalRemoved')).toEqual([]);
    await ledger.deposit('bob', DEPOSIT_SATS);
    ledger.clock.aheadMs += HOUR_MS;
    await ledger.settle();
    await ledger.mine(6);
    await ledger.settle();
    expect(ledger.receivedAt(TO)).toEqual([900_000n]);
    expect(await booksAtRest(ledger)).toEqual(AT_REST);
  });

  it('does not count when its signer answers late', async () => {
    let answer: (() => void) | undefined;
    const ledger = await open({
      signer: 'http',
      wrapSigners: (signers) => ({
        ...signers,
        http: {
          name: 'http',
          sign: async (request) => {
            const signed = await signers.local.sign(request);
            if (answer === undefined) await new Promise<void>((resolve) => (answer = resolve));
            return signed;
          },
        },
      }),
    });
    await ledger.fund('bob', [DEPOSIT_SATS]);
    await ledger.withdraw({ withdrawalId: 'bob-1', amountSats: 900_000n, accountId: 'bob' });
    const settling = ledger.settle();
    while (answer === undefined) await new Promise((resolve) => setTimeout(resolve, 20));
    await ledger.chain.reorg({ depth: 1, blocks: 2, dropTransactions: true });
    await ledger.follow();
    answer();
    await settling;
    await ledger.settle();
    expect(await ledger.events('CandidateSigned')).toEqual([]);
    await ledger.deposit('bob', DEPOSIT_SATS);
    ledger.clock.aheadMs += HOUR_MS;
    await ledger.settle();
    expect(await ledger.events('CandidateSigned')).toHaveLength(1);
  });

  it('holds up the others of its batch for an hour, then is cancelled; they are paid from the same coins', async () => {
    const ledger = await open({ signer: 'none' });
    const payoutId = await frozen(ledger, true);
    ledger.clock.aheadMs += HOUR_MS / 2;
    await ledger.settle();
    expect(await ledger.events('WithdrawalRemoved')).toEqual([]);
    const before = await handed(ledger);
    ledger.clock.aheadMs += HOUR_MS;
    await ledger.settle();
    expect(await dataOf(ledger, 'WithdrawalCancelled')).toMatchObject([{ withdrawalId: 'bob-1' }]);
    expect(await dataOf(ledger, 'FundsReleased')).toMatchObject([{ withdrawalId: 'bob-1', reason: 'cancelled' }]);
    const [first, second] = (await dataOf(ledger, 'CandidatePrepared')).map(({ transaction }) => transaction);
    const spent = (of: typeof first): string[] => of?.inputs.map(({ txid, vout }) => `${txid}:${vout}`) ?? [];
    expect(spent(second)).toEqual(expect.arrayContaining(spent(first)));
    // Whoever was handed the first one may have signed it: it does not count, and cannot confirm beside the second.
    expect(await ledger.bringBack(payoutId, before)).toMatchObject({ kind: 'rejected', code: 'psbt-mismatch' });
    if (second === undefined) throw new Error('nothing was prepared anew');
    const { transaction } = await ledger.signWithKey(second);
    expect(await ledger.bringBack(payoutId, transaction)).toMatchObject({ kind: 'done' });
    await ledger.settle();
    await ledger.mine(6);
    await ledger.settle();
    expect(ledger.receivedAt(OTHER)).toEqual([5_000_000n]);
    expect(ledger.receivedAt(TO)).toEqual([]);
    expect(await booksAtRest(ledger)).toEqual(AT_REST);
  });
});
