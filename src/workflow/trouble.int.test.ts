import { describe, expect, it } from 'vitest';
import type { NodeAnswer, PaymentNode } from '../bitcoin/payment/payment-node.js';
import type { PsbtSigner, SignerAnswer } from '../bitcoin/payment/signer.js';
import { RetryableError } from '../platform/errors.js';
import { RECIPIENTS, type PayoutLedger } from '../../test/support/payout-ledger.js';
import { AT_REST, booksAtRest, dataOf, payoutLedgers, typesOn } from '../../test/support/payout-ledgers.js';

const open = payoutLedgers();
const [TO, THIEF] = RECIPIENTS;
const THIEF_SCRIPT = '00201863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262';

/** A transaction that spends a coin of the payout's first payment and is not ours, as raw hex. */
async function theft(
  ledger: PayoutLedger,
  outputs: readonly { script: string; amountSats: string }[] = [{ script: THIEF_SCRIPT, amountSats: '9000000' }],
): Promise<{ txid: string; transaction: string }> {
  const [prepared] = await dataOf(ledger, 'CandidatePrepared');
  const input = prepared?.transaction.inputs[0];
  if (prepared === undefined || input === undefined) throw new Error('nothing is prepared');
  const paid = outputs.reduce((sum, { amountSats }) => sum + BigInt(amountSats), 0n);
  return await ledger.signWithKey({
    ...prepared.transaction,
    inputs: [input],
    outputs: outputs.map((output) => ({ ...output, withdrawalId: null, changeIndex: null })),
    feeSats: String(BigInt(input.amountSats) - paid),
    weight: 4_000,
    txid: null,
  });
}

async function paying(ledger: PayoutLedger): Promise<string> {
  await ledger.withdraw({ withdrawalId: 'w1', amountSats: 1_000_000n });
  await ledger.settle();
  return (await ledger.payoutIds())[0] ?? '';
}

describe('a coin spent by a transaction that is not ours', () => {
  it('halts the payout: nothing is sent any more, nothing paid again', async () => {
    const ledger = await open();
    await paying(ledger);
    const stolen = await theft(ledger);
    await ledger.mine(1, [stolen.transaction]);
    await ledger.settle();
    expect(await dataOf(ledger, 'PayoutHalted')).toMatchObject([{ byTxid: stolen.txid }]);
    await ledger.mine(20);
    ledger.clock.aheadMs = 3_600_000;
    await ledger.settle();
    expect((await typesOn(ledger, 'payout-')).at(-1)).toBe('PayoutHalted');
    expect(await ledger.payoutIds()).toHaveLength(1);
    expect(ledger.receivedAt(TO)).toEqual([]);
    expect((await ledger.books()).get('suspense')).toBe(10_000_000n);
  });

  it('goes on where it stood when the block with it is taken off', async () => {
    const ledger = await open();
    await paying(ledger);
    const stolen = await theft(ledger);
    await ledger.mine(1, [stolen.transaction]);
    await ledger.settle();
    await ledger.chain.reorg({ depth: 1, blocks: 2, dropTransactions: true });
    await ledger.settle();
    expect((await typesOn(ledger, 'payout-')).filter((type) => /Halted|Resumed/.test(type))).toEqual([
      'PayoutHalted',
      'PayoutResumed',
    ]);
    expect(ledger.chain.mempool.size).toBe(1);
    await ledger.mine(6);
    await ledger.settle();
    expect(ledger.receivedAt(TO)).toEqual([1_000_000n]);
    expect(await booksAtRest(ledger)).toEqual(AT_REST);
  });

  it('before it is buried, nothing can be decided', async () => {
    const ledger = await open();
    const payoutId = await paying(ledger);
    const stolen = await theft(ledger);
    await ledger.mine(1, [stolen.transaction]);
    await ledger.settle();
    expect(await ledger.resolve(payoutId, 'pay-again', stolen.txid)).toMatchObject({
      kind: 'rejected',
      code: 'payout-not-resolvable',
    });
  });

  it('by decision is paid again with other coins, once', async () => {
    const ledger = await open();
    const payoutId = await paying(ledger);
    const stolen = await theft(ledger);
    await ledger.mine(1, [stolen.transaction]);
    await ledger.settle();
    await ledger.mine(6);
    await ledger.settle();
    expect(await ledger.resolve(payoutId, 'pay-again', stolen.txid)).toMatchObject({ kind: 'done' });
    await ledger.settle();
    const [first, second] = await dataOf(ledger, 'CandidatePrepared');
    const lost = first?.transaction.inputs.map(({ txid, vout }) => `${txid}:${vout}`) ?? [];
    expect(second?.transaction.inputs.map(({ txid, vout }) => `${txid}:${vout}`)).not.toContain(lost[0]);
    await ledger.mine(6);
    await ledger.settle();
    expect(ledger.receivedAt(TO)).toEqual([1_000_000n]);
    expect(await ledger.events('PayoutClosed', 'WithdrawalSettled')).toHaveLength(2);
    expect(await booksAtRest(ledger)).toEqual({ ...AT_REST, suspense: 10_000_000n });
    expect((await ledger.commands.walletState('hot')).reserved.size).toBe(0);
  });

  it('by decision is given up: the money is the account’s again', async () => {
    const ledger = await open();
    const payoutId = await paying(ledger);
    const stolen = await theft(ledger);
    await ledger.mine(1, [stolen.transaction]);
    await ledger.settle();
    await ledger.mine(6);
    await ledger.settle();
    await ledger.resolve(payoutId, 'give-up', stolen.txid);
    await ledger.settle();
    expect(await ledger.events('WithdrawalFailed', 'FundsReleased', 'PayoutClosed')).toHaveLength(3);
    expect(ledger.receivedAt(TO)).toEqual([]);
    expect(await booksAtRest(ledger)).toEqual({ ...AT_REST, suspense: 10_000_000n });
    expect((await ledger.commands.walletState('hot')).reserved.size).toBe(0);
  });

  it('that paid what was asked is accepted as the payment, and one that did not is not', async () => {
    const ledger = await open();
    const payoutId = await paying(ledger);
    const script = (await dataOf(ledger, 'PayoutStarted'))[0]?.withdrawals[0]?.script ?? '';
    const stolen = await theft(ledger, [
      { script, amountSats: '1000000' },
      { script: THIEF_SCRIPT, amountSats: '8000000' },
    ]);
    await ledger.mine(1, [stolen.transaction]);
    await ledger.settle();
    await ledger.mine(6);
    await ledger.settle();
    await ledger.resolve(payoutId, 'paid', stolen.txid);
    await ledger.settle();
    expect(await ledger.events('WithdrawalSettled', 'PayoutClosed')).toHaveLength(2);
    expect(ledger.receivedAt(TO)).toEqual([1_000_000n]);
    expect(await booksAtRest(ledger)).toEqual({ ...AT_REST, suspense: 9_000_000n });
  });

  it('which only a replacement spends does not stop the original', async () => {
    const ledger = await open();
    await ledger.withdraw({ withdrawalId: 'w1', amountSats: 99_990_000n });
    await ledger.settle();
    const [{ address } = { address: '' }] = await dataOf(ledger, 'AddressIssued');
    const paid = await ledger.chain.pay({ address, amountSats: 1_000_000n });
    const coin = await ledger.chain.findTransaction('txid' in paid ? paid.txid : '');
    await ledger.mine(1, [Buffer.from(coin?.raw ?? []).toString('hex')]);
    await ledger.bump('w1', 100);
    await ledger.settle();
    const [first, second] = await dataOf(ledger, 'CandidatePrepared');
    const before = new Set(first?.transaction.inputs.map(({ txid }) => txid));
    const added = second?.transaction.inputs.find(({ txid }) => !before.has(txid));
    if (second === undefined || added === undefined) throw new Error('no coin was added');
    const stolen = await ledger.signWithKey({
      ...second.transaction,
      inputs: [added],
      outputs: [{ script: THIEF_SCRIPT, amountSats: '900000', withdrawalId: null, changeIndex: null }],
      feeSats: '100000',
      txid: null,
    });
    await ledger.mine(1, [stolen.transaction]);
    ledger.clock.aheadMs = 3_600_000;
    await ledger.settle();
    expect(await ledger.events('PayoutHalted')).toHaveLength(0);
    await ledger.mine(6);
    await ledger.settle();
    expect(ledger.receivedAt(TO)).toEqual([99_990_000n]);
    expect(ledger.receivedAt(THIEF)).toEqual([900_000n]);
    expect(await ledger.events('PayoutClosed')).toHaveLength(1);
  });
});

describe('a node', () => {
  it('that does not answer is asked again with the same bytes, and nobody is paid twice', async () => {
    let away = true;
    const sent: string[] = [];
    const none: NodeAnswer = { kind: 'unknown', detail: 'no answer in time' };
    const wrapNode = (node: PaymentNode): PaymentNode => ({
      ...node,
      testAccept: (transaction, coins) => (away ? Promise.resolve(none) : node.testAccept(transaction, coins)),
      broadcast: async (transaction, coins) => {
        sent.push(transaction);
        // It takes it, and its answer is lost.
        const answer = await node.broadcast(transaction, coins);
        return away ? none : answer;
      },
    });
    const ledger = await open({ wrapNode });
    await paying(ledger);
    for (let n = 0; n < 5; n++) {
      ledger.clock.aheadMs += 130_000;
      await ledger.settle();
    }
    away = false;
    ledger.clock.aheadMs += 130_000;
    await ledger.settle();
    expect(sent.length).toBeGreaterThan(2);
    expect(new Set(sent).size).toBe(1);
    expect((await dataOf(ledger, 'CandidateOffered')).map(({ answer }) => answer)).toEqual([
      'unknown',
      'already-known',
    ]);
    await ledger.mine(6);
    await ledger.settle();
    expect(ledger.receivedAt(TO)).toEqual([1_000_000n]);
  });

  it('that cannot say what fee is due makes withdrawals wait, with the reason, and then they are paid', async () => {
    let away = true;
    const wrapNode = (node: PaymentNode): PaymentNode => ({
      ...node,
      feeRate: (target) => (away ? Promise.reject(new RetryableError('connection refused')) : node.feeRate(target)),
    });
    const ledger = await open({ wrapNode });
    await paying(ledger);
    expect(await dataOf(ledger, 'WithdrawalDeferred')).toMatchObject([{ reason: 'node-unavailable' }]);
    expect(await ledger.payoutIds()).toEqual([]);
    away = false;
    ledger.clock.aheadMs += 10_000;
    await ledger.settle();
    expect(ledger.chain.mempool.size).toBe(1);
  });
});

describe('a payment that the node refuses for good', () => {
  const refusing = (refuses: (transaction: string) => boolean) => (node: PaymentNode) => {
    const refused: NodeAnswer = { kind: 'refused', detail: 'The node says: dust' };
    const wrapped: PaymentNode = {
      ...node,
      testAccept: (transaction, coins) =>
        refuses(transaction) ? Promise.resolve(refused) : node.testAccept(transaction, coins),
      broadcast: (transaction, coins) =>
        refuses(transaction) ? Promise.resolve(refused) : node.broadcast(transaction, coins),
    };
    return wrapped;
  };

  it('stays signed, is offered again, and says why; a bump replaces it by one that spends all of its coins', async () => {
    let first: string | undefined;
    const ledger = await open({
      wrapNode: refusing((transaction) => {
        first ??= transaction;
        return first === transaction;
      }),
    });
    await paying(ledger);
    for (let n = 0; n < 3; n++) {
      ledger.clock.aheadMs += 300_000;
      await ledger.settle();
    }
    expect(await dataOf(ledger, 'PayoutDeferred')).toMatchObject([
      { reason: 'node-refused', detail: 'The node says: dust' },
    ]);
    expect(await ledger.events('CandidatePrepared')).toHaveLength(1);
    expect(await ledger.cancel('w1')).toMatchObject({ kind: 'rejected', code: 'withdrawal-not-cancellable' });
    await ledger.bump('w1');
    await ledger.settle();
    const [one, other] = await dataOf(ledger, 'CandidateSigned');
    expect(other?.inputs).toEqual(expect.arrayContaining(one?.inputs ?? ['missing']));
    expect(ledger.chain.mempool.list().map(({ txid }) => txid)).toEqual([other?.txid]);
    await ledger.mine(6);
    await ledger.settle();
    expect(ledger.receivedAt(TO)).toEqual([1_000_000n]);
    expect(await booksAtRest(ledger)).toEqual(AT_REST);
  });

  it('whatever it pays can be ended by spending a coin of it to oneself, and only once that is buried', async () => {
    const ledger = await open({ wrapNode: refusing(() => true) });
    const payoutId = await paying(ledger);
    const own = (await dataOf(ledger, 'AddressIssued'))[0]?.script ?? '';
    const ended = await theft(ledger, [{ script: own, amountSats: '9999000' }]);
    await ledger.mine(1, [ended.transaction]);
    await ledger.settle();
    expect(await ledger.resolve(payoutId, 'give-up', ended.txid)).toMatchObject({ code: 'payout-not-resolvable' });
    await ledger.mine(6);
    await ledger.settle();
    expect(await ledger.resolve(payoutId, 'give-up', ended.txid)).toMatchObject({ kind: 'done' });
    await ledger.settle();
    expect(await dataOf(ledger, 'FundsReleased')).toMatchObject([{ withdrawalId: 'w1', reason: 'failed' }]);
    expect((await ledger.commands.walletState('hot')).reserved.size).toBe(0);
  });
});

describe('a signer', () => {
  /** Wallets whose signer is `http`: this one, which the test has in its hand. */
  const withSigner = (sign: (local: PsbtSigner['sign']) => PsbtSigner['sign']) =>
    open({
      signer: 'http',
      wrapSigners: (signers) => ({
        ...signers,
        http: { name: 'http', sign: sign((request) => signers.local.sign(request)) },
      }),
    });

  it('that is late is asked again with the very same PSBT', async () => {
    const asked: string[] = [];
    const ledger = await withSigner((local) => async (request) => {
      asked.push(Buffer.from(request.psbt).toString('hex'));
      if (asked.length < 3) return { kind: 'pending', detail: 'later' };
      return await local(request);
    });
    await paying(ledger);
    for (let n = 0; n < 4; n++) {
      ledger.clock.aheadMs += 300_000;
      await ledger.settle();
    }
    expect(asked).toHaveLength(3);
    expect(new Set(asked).size).toBe(1);
    expect(ledger.chain.mempool.size).toBe(1);
    expect(await ledger.events('PayoutDeferred')).toHaveLength(0);
  });

  it('that is away or refuses is named, and its payment waits', async () => {
    let answer: SignerAnswer | undefined = { kind: 'unavailable', detail: 'no answer in time' };
    const ledger = await withSigner(
      (local) => (request) => (answer === undefined ? local(request) : Promise.resolve(answer)),
    );
    await paying(ledger);
    answer = { kind: 'refused', detail: 'above the limit of the day' };
    ledger.clock.aheadMs += 300_000;
    await ledger.settle();
    expect((await dataOf(ledger, 'PayoutDeferred')).map(({ reason }) => reason)).toEqual([
      'signer-unavailable',
      'signer-refused',
    ]);
    answer = undefined;
    ledger.clock.aheadMs += 300_000;
    await ledger.settle();
    expect(ledger.chain.mempool.size).toBe(1);
  });

  it('that returns another payment is refused by name, whatever it pays', async () => {
    let honest = false;
    const ledger = await withSigner((local) => async (request) => {
      if (honest) return await local(request);
      return { kind: 'signed', signed: (await theft(ledger)).transaction };
    });
    await paying(ledger);
    expect(await dataOf(ledger, 'PayoutDeferred')).toMatchObject([{ reason: 'signer-refused' }]);
    expect(await ledger.events('CandidateSigned')).toHaveLength(0);
    honest = true;
    ledger.clock.aheadMs += 300_000;
    await ledger.settle();
    expect(await ledger.events('CandidateSigned')).toHaveLength(1);
  });
});

describe('a payment that its signer sends without bringing it back', () => {
  it('is signed from its first block on, so that nobody gets the money back as well', async () => {
    const ledger = await open({ signer: 'none' });
    await paying(ledger);
    const [prepared] = await dataOf(ledger, 'CandidatePrepared');
    if (prepared === undefined) throw new Error('nothing is prepared');
    const signed = await ledger.signWithKey(prepared.transaction);
    await ledger.mine(1, [signed.transaction]);
    await ledger.settle();
    expect(await dataOf(ledger, 'CandidateSigned')).toMatchObject([{ txid: signed.txid }]);
    expect(await ledger.cancel('w1')).toMatchObject({ kind: 'rejected', code: 'withdrawal-not-cancellable' });
    await ledger.mine(5);
    await ledger.settle();
    expect(ledger.receivedAt(TO)).toEqual([1_000_000n]);
    expect(await ledger.events('WithdrawalSettled', 'PayoutClosed')).toHaveLength(2);
    expect(await booksAtRest(ledger)).toEqual(AT_REST);
  });
});
