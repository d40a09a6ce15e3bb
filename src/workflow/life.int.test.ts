import { describe, expect, it } from 'vitest';
import { accepted } from '../../test/support/regtest-coins.js';
import { RECIPIENTS } from '../../test/support/payout-ledger.js';
import { AT_REST, booksAtRest, dataOf, payoutLedgers, typesOn } from '../../test/support/payout-ledgers.js';

const open = payoutLedgers();
const [TO, OTHER] = RECIPIENTS;

describe('the life of a withdrawal', () => {
  it('goes from request to closed, is paid once, and the books are even at the end', async () => {
    const ledger = await open();
    await ledger.withdraw({ withdrawalId: 'w1', amountSats: 3_000_000n, maxFeeSats: 50_000n });
    await ledger.settle();
    expect(await typesOn(ledger, 'payout-')).toEqual([
      'PayoutStarted',
      'CandidatePrepared',
      'CandidateSigned',
      'CandidateOffered',
    ]);
    expect(ledger.chain.mempool.size).toBe(1);

    await ledger.mine();
    await ledger.settle();
    expect(await ledger.events('PayoutSettled')).toHaveLength(0);
    await ledger.mine();
    await ledger.settle();
    expect(await ledger.events('PayoutSettled', 'WithdrawalSettled')).toHaveLength(2);
    await ledger.mine(4);
    await ledger.settle();
    expect((await typesOn(ledger, 'payout-')).slice(-2)).toEqual(['PayoutSettled', 'PayoutClosed']);
    expect((await typesOn(ledger, 'wallet-')).at(-1)).toBe('CoinsReleased');

    expect(ledger.receivedAt(TO)).toEqual([3_000_000n]);
    expect(await booksAtRest(ledger)).toEqual(AT_REST);
    // The account paid the fee, and got back what it had allowed beyond it.
    const [settled] = await dataOf(ledger, 'WithdrawalSettled');
    const [payout] = await dataOf(ledger, 'PayoutSettled');
    expect(settled?.feeSats).toBe(payout?.feeSats);
    expect(payout?.houseFeeSats).toBe('0');
    expect(ledger.trouble).toEqual([]);
  });

  it('nothing is signed before its coins are reserved and its plan is an event, nothing sent before its bytes are', async () => {
    const ledger = await open();
    await ledger.withdraw({ withdrawalId: 'w1', amountSats: 3_000_000n });
    await ledger.settle();
    const order = (await ledger.events())
      .map(({ type }) => type)
      .filter((type) => /^(Payout|Candidate|Coins|WithdrawalAssigned|FundsReserved)/.test(type));
    expect(order).toEqual([
      'FundsReserved',
      'PayoutStarted',
      'WithdrawalAssigned',
      'CoinsReserved',
      'CandidatePrepared',
      'CandidateSigned',
      'CandidateOffered',
    ]);
  });

  it('pays several in one transaction, also two to one address, each its own output', async () => {
    const ledger = await open();
    await ledger.withdraw({ withdrawalId: 'w1', amountSats: 1_000_000n });
    await ledger.withdraw({ withdrawalId: 'w2', amountSats: 1_000_000n });
    await ledger.withdraw({ withdrawalId: 'w3', amountSats: 2_000_000n, address: OTHER });
    await ledger.settle();
    await ledger.mine(6);
    await ledger.settle();
    expect(await ledger.payoutIds()).toHaveLength(1);
    expect(ledger.receivedAt(TO)).toEqual([1_000_000n, 1_000_000n]);
    expect(ledger.receivedAt(OTHER)).toEqual([2_000_000n]);
    expect(await ledger.events('WithdrawalSettled')).toHaveLength(3);
    expect(await booksAtRest(ledger)).toEqual(AT_REST);
  });

  it('waits for others within the window, not beyond it, and not when the batch is full', async () => {
    const ledger = await open({ policy: { windowMs: 60_000, maxWithdrawals: 3 } });
    await ledger.withdraw({ withdrawalId: 'w1', amountSats: 1_000_000n });
    await ledger.settle();
    expect(await ledger.payoutIds()).toHaveLength(0);
    await ledger.withdraw({ withdrawalId: 'w2', amountSats: 1_000_000n });
    await ledger.withdraw({ withdrawalId: 'w3', amountSats: 1_000_000n });
    await ledger.withdraw({ withdrawalId: 'w4', amountSats: 1_000_000n });
    await ledger.settle();
    expect(await ledger.payoutIds()).toHaveLength(1);
    ledger.clock.aheadMs = 61_000;
    await ledger.settle();
    const started = await dataOf(ledger, 'PayoutStarted');
    expect(started.map(({ withdrawals }) => withdrawals.map(({ withdrawalId }) => withdrawalId))).toEqual([
      ['w1', 'w2', 'w3'],
      ['w4'],
    ]);
  });

  it('says once why one has to wait, pays the others meanwhile, and it when there is enough', async () => {
    const ledger = await open({ policy: { chainDepth: 0 } });
    // Everything goes into one payment, whose change is not confirmed.
    await ledger.withdraw({ withdrawalId: 'w1', amountSats: 99_000_000n });
    await ledger.settle();
    await ledger.withdraw({ withdrawalId: 'big', amountSats: 500_000n });
    await ledger.settle();
    // A block without that payment brings a small coin.
    const [{ address } = { address: '' }] = await dataOf(ledger, 'AddressIssued');
    const { txid } = accepted(await ledger.chain.pay({ address, amountSats: 100_000n }));
    const small = await ledger.chain.findTransaction(txid);
    await ledger.mine(1, [Buffer.from(small?.raw ?? []).toString('hex')]);
    await ledger.withdraw({ withdrawalId: 'dear', amountSats: 20_000n, maxFeeSats: 1n });
    await ledger.settle();
    await ledger.settle();
    const deferred = await dataOf(ledger, 'WithdrawalDeferred');
    expect(deferred.map(({ withdrawalId, reason }) => `${withdrawalId} ${reason}`)).toEqual([
      'big wallet-too-low',
      'dear fee-above-bound',
    ]);
    await ledger.withdraw({ withdrawalId: 'small', amountSats: 50_000n });
    await ledger.settle();
    const paying = async (): Promise<string[]> =>
      (await dataOf(ledger, 'PayoutStarted')).flatMap(({ withdrawals }) =>
        withdrawals.map(({ withdrawalId }) => withdrawalId),
      );
    expect(await paying()).toEqual(['w1', 'small']);
    await ledger.mine();
    await ledger.settle();
    expect(await paying()).toEqual(['w1', 'small', 'big']);
    const reasons = (await dataOf(ledger, 'WithdrawalDeferred')).filter(({ withdrawalId }) => withdrawalId === 'dear');
    expect(reasons.every(({ reason }, at) => reason !== reasons[at - 1]?.reason)).toBe(true);
  });
});

describe('a withdrawal that is cancelled', () => {
  it('before it is taken up is never paid, and the money is there again', async () => {
    const ledger = await open({ policy: { windowMs: 60_000 } });
    await ledger.withdraw({ withdrawalId: 'w1', amountSats: 1_000_000n });
    expect(await ledger.cancel('w1')).toMatchObject({ kind: 'done' });
    ledger.clock.aheadMs = 61_000;
    await ledger.settle();
    expect(await ledger.payoutIds()).toEqual([]);
    expect(await ledger.events('FundsReleased')).toHaveLength(1);
  });

  it('before the signature is taken out, and the others are paid from the same coins', async () => {
    const ledger = await open({ signer: 'none' });
    await ledger.withdraw({ withdrawalId: 'w1', amountSats: 1_000_000n });
    await ledger.withdraw({ withdrawalId: 'w2', amountSats: 2_000_000n, address: OTHER });
    await ledger.settle();
    expect(await ledger.cancel('w1')).toMatchObject({ kind: 'done' });
    await ledger.settle();
    const [first, second] = await dataOf(ledger, 'CandidatePrepared');
    const inputs = (candidate: typeof first): string[] =>
      (candidate?.transaction.inputs ?? []).map(({ txid, vout }) => `${txid}:${vout}`).sort();
    expect(inputs(second)).toEqual(expect.arrayContaining(inputs(first)));
    expect(second?.transaction.outputs.flatMap(({ withdrawalId }) => withdrawalId ?? [])).toEqual(['w2']);
    expect(await ledger.events('WithdrawalCancelled', 'FundsReleased')).toHaveLength(2);
  });

  it('as the only one of its payout ends that, and its coins are free again', async () => {
    const ledger = await open({ signer: 'none' });
    await ledger.withdraw({ withdrawalId: 'w1', amountSats: 1_000_000n });
    await ledger.settle();
    await ledger.cancel('w1');
    await ledger.settle();
    expect((await typesOn(ledger, 'payout-')).at(-1)).toBe('PayoutCancelled');
    const released = await dataOf(ledger, 'CoinsReleased');
    expect(released.map(({ reason }) => reason)).toEqual(['unsigned']);
  });

  it('after the signature is refused, and paid', async () => {
    const ledger = await open();
    await ledger.withdraw({ withdrawalId: 'w1', amountSats: 1_000_000n });
    await ledger.settle();
    expect(await ledger.cancel('w1')).toMatchObject({ kind: 'rejected', code: 'withdrawal-not-cancellable' });
    await ledger.mine(6);
    await ledger.settle();
    expect(ledger.receivedAt(TO)).toEqual([1_000_000n]);
  });
});

describe('a payment that loses its block', () => {
  it('is sent again, settled once, and complete again in another block', async () => {
    const ledger = await open();
    await ledger.withdraw({ withdrawalId: 'w1', amountSats: 1_000_000n });
    await ledger.settle();
    await ledger.mine(2);
    await ledger.settle();
    expect(await ledger.events('PayoutSettled')).toHaveLength(1);
    await ledger.chain.reorg({ depth: 2, blocks: 3, dropTransactions: true });
    expect(ledger.chain.mempool.size).toBe(0);
    await ledger.settle();
    expect(ledger.chain.mempool.size).toBe(1);
    expect((await ledger.books()).get('transit')).toBeLessThan(0n);
    await ledger.mine(6);
    await ledger.settle();
    expect(ledger.receivedAt(TO)).toEqual([1_000_000n]);
    expect(await ledger.events('PayoutSettled', 'WithdrawalSettled', 'PayoutClosed')).toHaveLength(3);
    expect(await ledger.events('CandidateSigned')).toHaveLength(1);
    expect(await booksAtRest(ledger)).toEqual(AT_REST);
  });

  it('is sent again after a restart as well: who was told nothing looks at everything', async () => {
    const ledger = await open();
    await ledger.withdraw({ withdrawalId: 'w1', amountSats: 1_000_000n });
    await ledger.settle();
    await ledger.mine();
    await ledger.settle();
    ledger.restart();
    await ledger.chain.reorg({ depth: 1, blocks: 2, dropTransactions: true });
    await ledger.settle();
    expect(ledger.chain.mempool.size).toBe(1);
  });

  it('is sent again when the node has forgotten it, on a slow tick', async () => {
    const ledger = await open();
    await ledger.withdraw({ withdrawalId: 'w1', amountSats: 1_000_000n });
    await ledger.settle();
    const [txid] = ledger.chain.mempool.list().map((entry) => entry.txid);
    await ledger.chain.evict(txid ?? '');
    await ledger.settle();
    expect(ledger.chain.mempool.size).toBe(0);
    ledger.clock.aheadMs = 600_001;
    await ledger.settle();
    expect(ledger.chain.mempool.list().map((entry) => entry.txid)).toEqual([txid]);
  });
});

describe('withdrawals that cannot be paid', () => {
  it('of an account that a reorg left below zero wait until it is covered', async () => {
    const ledger = await open();
    const [{ address } = { address: '' }] = await dataOf(ledger, 'AddressIssued');
    const deposit = async (): Promise<void> => {
      accepted(await ledger.chain.pay({ address, amountSats: 10_000_000n }));
    };
    await ledger.withdraw({ withdrawalId: 'w1', amountSats: 50_000_000n });
    await ledger.withdraw({ withdrawalId: 'w2', amountSats: 48_000_000n });
    await ledger.chain.reorg({ depth: 1, blocks: 2, dropTransactions: true });
    for (let n = 0; n < 9; n++) await deposit();
    await ledger.mine();
    await ledger.settle();
    // The wallet has enough for one of them; the account has not.
    expect(await ledger.payoutIds()).toEqual([]);
    expect((await dataOf(ledger, 'WithdrawalDeferred')).map(({ reason }) => reason)).toEqual([
      'account-frozen',
      'account-frozen',
    ]);
    for (let n = 0; n < 2; n++) await deposit();
    await ledger.mine();
    await ledger.settle();
    await ledger.mine(6);
    await ledger.settle();
    expect(ledger.receivedAt(TO).sort()).toEqual([48_000_000n, 50_000_000n]);
  });

  it('do not hold up the others, however many they are', { timeout: 120_000 }, async () => {
    const ledger = await open();
    const stuck = Array.from({ length: 1_100 }, (_, n) => ({
      withdrawalId: `s${n}`,
      amountSats: 1_000n,
      maxFeeSats: 0n,
    }));
    await Promise.all(stuck.map((withdrawal) => ledger.withdraw(withdrawal)));
    await ledger.withdraw({ withdrawalId: 'w1', amountSats: 1_000_000n, address: OTHER });
    await ledger.settle();
    expect((await dataOf(ledger, 'PayoutStarted')).map(({ withdrawals }) => withdrawals[0]?.withdrawalId)).toEqual([
      'w1',
    ]);
    expect(await ledger.events('WithdrawalDeferred')).toHaveLength(stuck.length);
  });
});
