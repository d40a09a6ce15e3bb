import { describe, expect, it } from 'vitest';
import { InvariantError } from '../../platform/assert.js';
import type { DomainEvent } from '../events/event-types.js';
import { assignWithdrawal } from './assign-withdrawal.js';
import { cancelWithdrawal } from './cancel-withdrawal.js';
import { deferWithdrawal } from './defer-withdrawal.js';
import { failWithdrawal } from './fail-withdrawal.js';
import { evolveWithdrawal, initialWithdrawalState, type WithdrawalState } from './withdrawal-state.js';

const given = (...events: DomainEvent[]): WithdrawalState => events.reduce(evolveWithdrawal, initialWithdrawalState);
const assigned: DomainEvent = { type: 'WithdrawalAssigned', data: { withdrawalId: 'w', payoutId: 'p1' } };
const cancel = { withdrawalId: 'w', accountId: 'a', reason: null };
const fail = { withdrawalId: 'w', accountId: 'a', payoutId: 'p1', reason: 'a person gave up' };
const cancelled: DomainEvent = { type: 'WithdrawalCancelled', data: cancel };
const failed: DomainEvent = { type: 'WithdrawalFailed', data: fail };
const removedFrom = (...ids: string[]): { isRemovedFrom: (id: string) => boolean } => ({
  isRemovedFrom: (id) => ids.includes(id),
});

describe('a withdrawal', () => {
  it('is given to one payout, for ever', () => {
    expect(assignWithdrawal({ withdrawalId: 'w', payoutId: 'p1' }, given())).toEqual([assigned]);
    expect(assignWithdrawal({ withdrawalId: 'w', payoutId: 'p1' }, given(assigned))).toEqual([]);
    expect(assignWithdrawal({ withdrawalId: 'w', payoutId: 'p2' }, given(assigned))).toMatchObject({
      rejected: 'withdrawal-not-payable',
    });
  });

  it.each([[cancelled], [assigned, failed]])('is not paid once it has ended', (...events) => {
    for (const payoutId of ['p1', 'p2']) {
      expect(assignWithdrawal({ withdrawalId: 'w', payoutId }, given(...events))).toMatchObject({
        rejected: 'withdrawal-not-payable',
      });
    }
  });

  it('says why it waits, once per reason', () => {
    const low = { withdrawalId: 'w', reason: 'wallet-too-low' as const, detail: '5 short' };
    const decided = deferWithdrawal(low, given());
    expect(decided).toEqual([{ type: 'WithdrawalDeferred', data: low }]);
    expect(deferWithdrawal({ ...low, detail: '4 short' }, given(...decided))).toEqual([]);
    expect(deferWithdrawal({ ...low, reason: 'fee-above-bound' }, given(...decided))).toHaveLength(1);
    expect(deferWithdrawal(low, given(assigned))).toEqual([]);
    expect(given(...decided, assigned).waits).toBeNull();
  });

  it('is cancelled while nobody pays it', () => {
    expect(cancelWithdrawal(cancel, given(), removedFrom())).toEqual([cancelled]);
  });

  it('is cancelled only after its payout let go of it', () => {
    expect(cancelWithdrawal(cancel, given(assigned), removedFrom('p2'))).toMatchObject({
      rejected: 'withdrawal-not-cancellable',
    });
    expect(cancelWithdrawal(cancel, given(assigned), removedFrom('p1'))).toEqual([cancelled]);
  });

  it('ends once', () => {
    for (const state of [given(cancelled), given(assigned, failed)]) {
      expect(cancelWithdrawal(cancel, state, removedFrom('p1'))).toMatchObject({
        rejected: 'withdrawal-not-cancellable',
      });
    }
    expect(failWithdrawal(fail, given(assigned))).toEqual([failed]);
    expect(failWithdrawal(fail, given(assigned, failed))).toEqual([]);
    expect(failWithdrawal(fail, given(cancelled))).toMatchObject({ rejected: 'withdrawal-not-payable' });
  });

  it('fails with the payout that has it only', () => {
    expect(() => failWithdrawal({ ...fail, payoutId: 'p2' }, given(assigned))).toThrow(InvariantError);
    expect(() => failWithdrawal(fail, given())).toThrow(InvariantError);
  });
});
