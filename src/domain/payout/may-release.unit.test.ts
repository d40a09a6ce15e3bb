import { describe, expect, it } from 'vitest';
import {
  hashOf,
  paid,
  payoutAfter,
  planOf,
  prepared,
  signedForm,
  startedWith,
} from '../../../test/support/payout-cases.js';
import type { DomainEvent } from '../events/event-types.js';
import { mayRelease } from './may-release.js';

const A = paid(1);
const coin = (n: number): string => `${hashOf(n)}:0`;
const started: DomainEvent = { type: 'PayoutStarted', data: startedWith([A]) };
const plan = planOf([1], [A]);
const prepared0: DomainEvent = { type: 'CandidatePrepared', data: prepared(0, plan) };
const signed0: DomainEvent = { type: 'CandidateSigned', data: signedForm(0, plan, hashOf(500)) };
const resolved = (outcome: 'pay-again' | 'give-up'): DomainEvent => ({
  type: 'PayoutResolved',
  data: { payoutId: 'p', outcome, byTxid: hashOf(666), outpoint: coin(1), confirmations: 10, note: '', postings: [] },
});
const cancelled: DomainEvent[] = [
  { type: 'WithdrawalRemoved', data: { payoutId: 'p', withdrawalId: 'w1', reason: null } },
  { type: 'PayoutCancelled', data: { payoutId: 'p' } },
];
const closed: DomainEvent = {
  type: 'PayoutClosed',
  data: { payoutId: 'p', txid: hashOf(500), extraFeeSats: '0', postings: [] },
};

describe('a coin of a payout is given back', () => {
  it('as spent only at the end', () => {
    expect(mayRelease(payoutAfter(started, prepared0, signed0), 'spent', coin(1))).toBe(false);
    expect(mayRelease(payoutAfter(started, prepared0, signed0, closed), 'spent', coin(1))).toBe(true);
  });

  it('unsigned only where no candidate spends it, or all was cancelled', () => {
    expect(mayRelease(payoutAfter(started), 'unsigned', coin(1))).toBe(true);
    for (const events of [[prepared0], [prepared0, signed0]]) {
      expect(mayRelease(payoutAfter(started, ...events), 'unsigned', coin(1))).toBe(false);
      expect(mayRelease(payoutAfter(started, ...events), 'unsigned', coin(2))).toBe(true);
    }
    expect(mayRelease(payoutAfter(started, prepared0, ...cancelled), 'unsigned', coin(1))).toBe(true);
    expect(mayRelease(payoutAfter(started, prepared0, signed0, closed), 'unsigned', coin(1))).toBe(false);
  });

  it('for a conflict only after a person decided, and not what is spent since', () => {
    const signed = [started, prepared0, signed0];
    expect(mayRelease(payoutAfter(...signed), 'conflict', coin(1))).toBe(false);
    expect(mayRelease(payoutAfter(...signed, resolved('give-up')), 'conflict', coin(1))).toBe(true);
    const again = [...signed, resolved('pay-again')];
    expect(mayRelease(payoutAfter(...again), 'conflict', coin(1))).toBe(true);
    const next: DomainEvent = { type: 'CandidatePrepared', data: prepared(1, planOf([2], [A])) };
    expect(mayRelease(payoutAfter(...again, next), 'conflict', coin(1))).toBe(true);
    expect(mayRelease(payoutAfter(...again, next), 'conflict', coin(2))).toBe(false);
    expect(mayRelease(payoutAfter(...again, next), 'unsigned', coin(1))).toBe(false);
  });
});
