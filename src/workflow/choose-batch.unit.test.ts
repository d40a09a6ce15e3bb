import { describe, expect, it } from 'vitest';
import type { NotPlanned, Planned } from '../bitcoin/payment/plan-parts.js';
import type { PaidWithdrawal } from '../domain/events/payout-events.js';
import { firstBatch, payableBatch } from './choose-batch.js';

const withdrawal = (n: number, amountSats: number, maxFeeSats: number | null = null): PaidWithdrawal => ({
  withdrawalId: `w${n}`,
  accountId: 'a',
  address: 'x',
  script: `0014${'00'.repeat(20)}`,
  amountSats: String(amountSats),
  maxFeeSats: maxFeeSats === null ? null : String(maxFeeSats),
});

/** A wallet of so many satoshis, and a fee of 100 for each withdrawal and for the rest of the transaction. */
const planner =
  (coins: bigint, tried: string[][] = []) =>
  (withdrawals: readonly PaidWithdrawal[]): Planned | NotPlanned => {
    tried.push(withdrawals.map(({ withdrawalId }) => withdrawalId));
    const feeSats = 100n * BigInt(withdrawals.length + 1);
    const needed = withdrawals.reduce((sum, { amountSats }) => sum + BigInt(amountSats), feeSats);
    if (needed > coins) return { kind: 'refused', reason: 'wallet-too-low', detail: `lacks ${needed - coins}` };
    const transaction = { feeSats: feeSats.toString() } as Planned['transaction'];
    return { kind: 'planned', transaction, added: [], changeVout: null, by: 'largest-first' };
  };

const ids = (withdrawals: readonly PaidWithdrawal[] | undefined): string[] | undefined =>
  withdrawals?.map(({ withdrawalId }) => withdrawalId);

describe('a batch', () => {
  it('is the longest waiting, as many as the limits let in', () => {
    const waiting = [1, 2, 3, 4].map((n) => withdrawal(n, 1000));
    expect(ids(firstBatch(waiting, { maxWithdrawals: 3, maxWeight: 100_000 }))).toEqual(['w1', 'w2', 'w3']);
    expect(ids(firstBatch(waiting, { maxWithdrawals: 200, maxWeight: 500 }))).toEqual(['w1', 'w2']);
    expect(ids(firstBatch(waiting, { maxWithdrawals: 200, maxWeight: 10 }))).toEqual(['w1']);
  });

  it('is paid whole where it can be', () => {
    const batch = [withdrawal(1, 1000), withdrawal(2, 2000)];
    const { payable, deferred } = payableBatch(batch, 10_000n, planner(10_000n));
    expect(ids(payable?.withdrawals)).toEqual(['w1', 'w2']);
    expect(deferred).toEqual([]);
  });

  it('goes on without one that the wallet cannot pay, and says which', () => {
    const batch = [withdrawal(1, 50_000), withdrawal(2, 2000), withdrawal(3, 3000)];
    const { payable, deferred } = payableBatch(batch, 10_000n, planner(10_000n));
    expect(ids(payable?.withdrawals)).toEqual(['w2', 'w3']);
    expect(deferred.map(({ withdrawal: { withdrawalId }, reason }) => [withdrawalId, reason])).toEqual([
      ['w1', 'wallet-too-low'],
    ]);
  });

  it('serves who asked first where not all can be paid', () => {
    const batch = [withdrawal(1, 6000), withdrawal(2, 6000), withdrawal(3, 1000)];
    expect(ids(payableBatch(batch, 10_000n, planner(10_000n)).payable?.withdrawals)).toEqual(['w1', 'w3']);
  });

  it('leaves out the largest where the fee is what is missing', () => {
    const batch = [withdrawal(1, 5000), withdrawal(2, 4950)];
    const { payable, deferred } = payableBatch(batch, 10_000n, planner(10_000n));
    expect(ids(payable?.withdrawals)).toEqual(['w2']);
    expect(deferred).toHaveLength(1);
  });

  it('goes on without one whose share of the fee is more than it allows', () => {
    const batch = [withdrawal(1, 1000, 10), withdrawal(2, 1000, 500), withdrawal(3, 1000)];
    const { payable, deferred } = payableBatch(batch, 10_000n, planner(10_000n));
    expect(ids(payable?.withdrawals)).toEqual(['w2', 'w3']);
    expect(deferred).toMatchObject([{ withdrawal: { withdrawalId: 'w1' }, reason: 'fee-above-bound' }]);
  });

  it('finds the few that fit where 200 small coins do not fit into one payment', () => {
    const batch = Array.from({ length: 200 }, (_, n) => withdrawal(n, 1000 + n));
    const plan = planner(10_000_000n);
    const { payable } = payableBatch(batch, 10_000_000n, (withdrawals) =>
      withdrawals.length > 5 ? { kind: 'refused', reason: 'wallet-too-low', detail: 'limited' } : plan(withdrawals),
    );
    expect(payable?.withdrawals.length).toBeGreaterThan(0);
  });

  it('tries the smallest alone before it gives up', () => {
    const batch = [withdrawal(1, 3000), withdrawal(2, 2000), withdrawal(3, 1000)];
    expect(ids(payableBatch(batch, 10_000n, planner(1_200n)).payable?.withdrawals)).toEqual(['w3']);
  });

  it('ends after a bounded number of tries', () => {
    const batch = Array.from({ length: 100 }, (_, n) => withdrawal(n, 100));
    const tried: string[][] = [];
    expect(payableBatch(batch, 100_000n, planner(0n, tried)).payable).toBeUndefined();
    expect(tried.length).toBeLessThanOrEqual(12);
  });
});
