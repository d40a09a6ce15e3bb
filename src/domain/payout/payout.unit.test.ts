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
import { InvariantError } from '../../platform/assert.js';
import type { DomainEvent } from '../events/event-types.js';
import type { PlannedTransaction } from '../events/payout-events.js';
import { newEvents } from '../new-event.js';
import { deferPayout } from './defer-payout.js';
import { ownChange, signableCandidates } from './payout-candidates.js';
import { MAX_CANDIDATES, prepareCandidate, type PrepareFacts } from './prepare-candidate.js';
import { recordOffer } from './record-offer.js';
import { MAX_SIGNED_FORMS, recordSigned } from './record-signed.js';
import { refuseBump } from './refuse-bump.js';
import { removeWithdrawal } from './remove-withdrawal.js';
import { requestBump } from './request-bump.js';
import { startPayout } from './start-payout.js';

const A = paid(1);
const B = paid(2, { maxFeeSats: null });
const both = startedWith([A, B]);
const started: DomainEvent = { type: 'PayoutStarted', data: both };
const first = planOf([1, 2], [A, B]);
const prepared0: DomainEvent = { type: 'CandidatePrepared', data: prepared(0, first) };
const TX0 = hashOf(500);
const signed0: DomainEvent = { type: 'CandidateSigned', data: signedForm(0, first, TX0) };
const removedB: DomainEvent = {
  type: 'WithdrawalRemoved',
  data: { payoutId: 'p', withdrawalId: 'w2', reason: null },
};
const bump = { payoutId: 'p', withdrawalId: 'w1', feeRateSatsPerKvb: '5000' };
const halted: DomainEvent = {
  type: 'PayoutHalted',
  data: { payoutId: 'p', outpoint: `${hashOf(1)}:0`, byTxid: hashOf(666), blockHash: hashOf(7), height: 7 },
};
const yes: PrepareFacts = { isReserved: () => true, isAssigned: () => true };
const remove = (withdrawalId: string): { payoutId: string; withdrawalId: string; reason: null } => ({
  payoutId: 'p',
  withdrawalId,
  reason: null,
});

/** What is decided must also be writable. */
function writable(decided: DomainEvent[] | object): DomainEvent[] {
  if (!Array.isArray(decided)) throw new Error(`refused: ${JSON.stringify(decided)}`);
  newEvents(decided as DomainEvent[], { ledger: 'main', key: 'k', metadata: {} });
  return decided as DomainEvent[];
}

describe('starting', () => {
  it('names what is to be paid, once', () => {
    expect(writable(startPayout(both, payoutAfter()))).toEqual([started]);
    expect(payoutAfter(started)).toMatchObject({ phase: 'started', withdrawals: [A, B] });
    expect(startPayout(both, payoutAfter(started))).toEqual([]);
  });

  it('never pays a withdrawal twice', () => {
    expect(() => startPayout(startedWith([A, A]), payoutAfter())).toThrow(InvariantError);
  });
});

describe('taking a withdrawal out', () => {
  it('is possible while nothing is signed, and voids what was prepared', () => {
    expect(writable(removeWithdrawal(remove('w2'), payoutAfter(started, prepared0)))).toEqual([removedB]);
    const state = payoutAfter(started, prepared0, removedB);
    expect(state).toMatchObject({ phase: 'started', withdrawals: [A], removed: ['w2'] });
    expect(signableCandidates(state)).toEqual([]);
    expect(removeWithdrawal(remove('w2'), state)).toEqual([]);
  });

  it('cancels the payout with the last one', () => {
    const decided = writable(removeWithdrawal(remove('w1'), payoutAfter(started, removedB)));
    expect(decided.map(({ type }) => type)).toEqual(['WithdrawalRemoved', 'PayoutCancelled']);
    const state = payoutAfter(started, removedB, ...decided);
    expect(state.phase).toBe('cancelled');
    expect(removeWithdrawal(remove('w1'), state)).toEqual([]);
    expect(prepareCandidate(prepared(0, planOf([1], [A])), state, yes)).toMatchObject({ rejected: 'payout-not-ready' });
  });

  it('is too late once it is signed', () => {
    expect(removeWithdrawal(remove('w2'), payoutAfter(started, prepared0, signed0))).toMatchObject({
      rejected: 'withdrawal-not-cancellable',
    });
  });

  it('needs a payout that has it', () => {
    expect(removeWithdrawal(remove('w2'), payoutAfter())).toMatchObject({ rejected: 'payout-not-found' });
    expect(removeWithdrawal(remove('w9'), payoutAfter(started))).toMatchObject({ rejected: 'withdrawal-not-payable' });
  });
});

describe('preparing a transaction', () => {
  const prepare = (
    candidate: number,
    plan: PlannedTransaction,
    events: readonly DomainEvent[],
    kind: 'payment' | 'child' = 'payment',
  ): ReturnType<typeof prepareCandidate> =>
    prepareCandidate(prepared(candidate, plan, kind), payoutAfter(...events), yes);

  it('takes one that pays everybody what was asked', () => {
    expect(writable(prepare(0, first, [started]))).toEqual([prepared0]);
    expect(payoutAfter(started, prepared0).phase).toBe('prepared');
  });

  it('takes the number that is next; one that is taken stays as it is', () => {
    expect(prepare(0, planOf([3], [A, B]), [started, prepared0])).toEqual([]);
    expect(prepare(2, first, [started, prepared0])).toMatchObject({ rejected: 'payout-not-ready' });
  });

  it('takes a replacement that keeps every input and adds some', () => {
    const replacement = planOf([1, 2, 3], [A, B], { fee: 900n });
    expect(writable(prepare(1, replacement, [started, prepared0, signed0]))).toHaveLength(1);
  });

  it('never takes one that lacks an input of any earlier payment, signed or not, voided or not', () => {
    const wider = prepared(1, planOf([1, 2, 3], [A, B]));
    const histories: [readonly DomainEvent[], PlannedTransaction][] = [
      [[prepared0, signed0], planOf([2, 3], [A, B])],
      [[prepared0, signed0], planOf([3], [A, B])],
      [[prepared0], planOf([1, 3], [A, B])],
      [[prepared0, removedB], planOf([2], [A])],
      // Not only the last, not only the first.
      [[prepared0, signed0, { type: 'CandidatePrepared', data: wider }], planOf([1, 2, 4], [A, B])],
    ];
    for (const [events, plan] of histories) {
      const state = payoutAfter(started, ...events);
      expect(() => prepareCandidate(prepared(state.candidates.length, plan), state, yes)).toThrow(/every input/);
    }
  });

  it('keeps the inputs after a withdrawal was taken out, and pays only those that are left', () => {
    const events = [started, prepared0, removedB];
    expect(prepare(1, planOf([1, 2], [A]), events)).toHaveLength(1);
    // Planned before the client cancelled: refused, because a client must not be able to stop the process.
    expect(prepare(1, planOf([1, 2], [A, B]), events)).toMatchObject({ rejected: 'payout-not-ready' });
    expect(prepare(0, first, [started, removedB])).toMatchObject({ rejected: 'payout-not-ready' });
  });

  it.each<[string, PlannedTransaction]>([
    ['one recipient is missing', planOf([1, 2], [A])],
    ['one recipient is paid twice', planOf([1, 2], [A, A, B])],
    ['a stranger is paid', planOf([1, 2], [A, B, paid(9)])],
    ['the amount is another', planOf([1, 2], [{ ...A, amountSats: '9999' }, B])],
    ['the script is another', planOf([1, 2], [{ ...A, script: paid(9).script }, B])],
    ['the fee is not what is left', { ...planOf([1, 2], [A, B]), feeSats: '501' }],
    ['a coin is spent twice', planOf([1, 1], [A, B])],
    ['an output is nobody’s', { ...first, outputs: first.outputs.map((output) => ({ ...output, changeIndex: null })) }],
    [
      'a payment is called change as well',
      { ...first, outputs: first.outputs.map((output) => ({ ...output, changeIndex: 0 })) },
    ],
  ])('never takes one where %s', (_what, plan) => {
    expect(() => prepare(0, plan, [started])).toThrow(InvariantError);
  });

  it('needs its coins reserved and its withdrawals assigned', () => {
    const state = payoutAfter(started);
    const isReserved = (outpoint: string): boolean => outpoint === `${hashOf(1)}:0`;
    expect(prepareCandidate(prepared(0, first), state, { ...yes, isReserved })).toEqual({
      rejected: 'payout-not-ready',
      detail: `Coin ${hashOf(2)}:0 is not reserved for payout 'p'.`,
    });
    const isAssigned = (id: string): boolean => id === 'w1';
    expect(prepareCandidate(prepared(0, first), state, { ...yes, isAssigned })).toEqual({
      rejected: 'payout-not-ready',
      detail: "Withdrawal 'w2' is not assigned to payout 'p'.",
    });
  });

  it('is refused without a payout, while it is halted, and beyond the bound', () => {
    expect(prepare(0, first, [])).toMatchObject({ rejected: 'payout-not-found' });
    expect(prepare(1, first, [started, prepared0, halted])).toMatchObject({ rejected: 'payout-not-ready' });
    const many = Array.from({ length: MAX_CANDIDATES }, (_, n): DomainEvent => {
      return { type: 'CandidatePrepared', data: prepared(n, first) };
    });
    expect(prepare(MAX_CANDIDATES, first, [started, ...many])).toMatchObject({ rejected: 'payout-not-ready' });
  });

  describe('a child', () => {
    const events = [started, prepared0, signed0];
    const input = { ...first.inputs[0], txid: TX0, vout: 2, blockHash: null } as PlannedTransaction['inputs'][number];
    const child = (
      inputs: PlannedTransaction['inputs'],
      outputs: PlannedTransaction['outputs'] = [],
    ): PlannedTransaction => {
      const total = BigInt(inputs.length) * 100_000n;
      const change = { script: '00', amountSats: (total - 700n).toString(), withdrawalId: null, changeIndex: 1 };
      return { ...first, inputs, outputs: outputs.length > 0 ? outputs : [change], feeSats: '700' };
    };

    it('spends change of a signed candidate and pays nobody', () => {
      expect([...ownChange(payoutAfter(...events))]).toEqual([`${TX0}:2`]);
      expect(writable(prepare(1, child([input]), events, 'child'))).toHaveLength(1);
    });

    it('is nothing else', () => {
      const coin = first.inputs[0] as PlannedTransaction['inputs'][number];
      const other = { ...coin, txid: hashOf(77) };
      const paying = { script: A.script, amountSats: '99300', withdrawalId: 'w1', changeIndex: null };
      expect(() => prepare(1, child([other]), events, 'child')).toThrow(/spends change/);
      expect(() => prepare(1, child([{ ...input, vout: 0 }]), events, 'child')).toThrow(/spends change/);
      expect(() => prepare(1, child([input, coin]), events, 'child')).toThrow(/leaves the inputs/);
      expect(() => prepare(1, child([input], [paying]), events, 'child')).toThrow(/pays nobody/);
      // And a payment does not build upon what may be replaced by itself.
      expect(() => prepare(1, planWith(input), events)).toThrow(/does not spend what a candidate/);
    });

    function planWith(extra: PlannedTransaction['inputs'][number]): PlannedTransaction {
      return { ...first, feeSats: '100500', inputs: [...first.inputs, extra] };
    }
  });
});

describe('signing', () => {
  it('keeps what was signed, and leads nowhere back', () => {
    expect(writable(recordSigned(signedForm(0, first, TX0), payoutAfter(started, prepared0)))).toEqual([signed0]);
    const state = payoutAfter(started, prepared0, signed0);
    expect(state.phase).toBe('signed');
    expect(state.candidates[0]?.signed).toEqual([
      { txid: TX0, changeVouts: [2], feeSats: 500n, weight: 1_000, revision: 2n },
    ]);
    expect(recordSigned(signedForm(0, first, TX0), state)).toEqual([]);
  });

  it('keeps a second form of the same payment where its txid is another', () => {
    const again = signedForm(0, first, hashOf(501));
    const state = payoutAfter(started, prepared0, signed0);
    const decided = writable(recordSigned(again, state));
    expect(payoutAfter(started, prepared0, signed0, ...decided).candidates[0]?.signed).toHaveLength(2);
  });

  it('bounds the forms', () => {
    const forms = Array.from({ length: MAX_SIGNED_FORMS }, (_, n): DomainEvent => {
      return { type: 'CandidateSigned', data: signedForm(0, first, hashOf(1_000 + n)) };
    });
    expect(recordSigned(signedForm(0, first, TX0), payoutAfter(started, prepared0, ...forms))).toMatchObject({
      rejected: 'payout-not-ready',
    });
  });

  it('refuses what was voided, what is not known, and what is another transaction', () => {
    const removed = payoutAfter(started, prepared0, removedB, {
      type: 'CandidatePrepared',
      data: prepared(1, planOf([1, 2], [A])),
    });
    expect(recordSigned(signedForm(0, first, TX0), removed)).toMatchObject({ rejected: 'psbt-mismatch' });
    expect(recordSigned(signedForm(5, first, TX0), removed)).toMatchObject({ rejected: 'psbt-mismatch' });
    const known = { ...first, txid: hashOf(42) };
    const state = payoutAfter(started, { type: 'CandidatePrepared', data: prepared(0, known) });
    expect(recordSigned(signedForm(0, known, TX0), state)).toMatchObject({ rejected: 'psbt-mismatch' });
  });

  it('refuses where there is nothing to be signed', () => {
    const form = signedForm(0, first, TX0);
    expect(recordSigned(form, payoutAfter())).toMatchObject({ rejected: 'payout-not-found' });
    expect(recordSigned(form, payoutAfter(started))).toMatchObject({ rejected: 'payout-not-ready' });
    expect(recordSigned(form, payoutAfter(started, prepared0, halted))).toMatchObject({ rejected: 'payout-not-ready' });
  });

  it('takes, while halted, the very transaction that halted it: who signed it had sent it without us', () => {
    const byTxid = hashOf(666);
    const events = [started, prepared0, halted];
    const decided = writable(recordSigned(signedForm(0, first, byTxid), payoutAfter(...events)));
    const state = payoutAfter(...events, ...decided);
    expect(state.candidates[0]?.signed).toMatchObject([{ txid: byTxid }]);
    expect(removeWithdrawal(remove('w1'), state)).toHaveProperty('rejected');
    const voided = payoutAfter(started, prepared0, removedB, halted);
    expect(recordSigned(signedForm(0, first, byTxid), voided)).toMatchObject({ rejected: 'psbt-mismatch' });
  });

  it('never takes a transaction that spends other coins than planned', () => {
    const other = { ...signedForm(0, first, TX0), inputs: [`${hashOf(1)}:0`, `${hashOf(3)}:0`] };
    expect(() => recordSigned(other, payoutAfter(started, prepared0))).toThrow(InvariantError);
  });

  it('is the last word against a cancellation, and the other way round', () => {
    const open = payoutAfter(started, prepared0);
    const cancelFirst = writable(removeWithdrawal(remove('w1'), open));
    expect(recordSigned(signedForm(0, first, TX0), payoutAfter(started, prepared0, ...cancelFirst))).toHaveProperty(
      'rejected',
    );
    const signFirst = writable(recordSigned(signedForm(0, first, TX0), open));
    expect(removeWithdrawal(remove('w1'), payoutAfter(started, prepared0, ...signFirst))).toHaveProperty('rejected');
  });
});

describe('what the node answers', () => {
  const offer = { payoutId: 'p', txid: TX0, answer: 'accepted' as const, detail: '' };

  it('is kept when it changes, and never leads back from signed', () => {
    const state = payoutAfter(started, prepared0, signed0);
    const decided = writable(recordOffer(offer, state));
    expect(decided).toEqual([{ type: 'CandidateOffered', data: offer }]);
    const offered = payoutAfter(started, prepared0, signed0, ...decided);
    expect(recordOffer({ ...offer, detail: 'again' }, offered)).toEqual([]);
    for (const answer of ['inputs-spent', 'refused', 'unknown', 'fee-too-low', 'replaced-by-better'] as const) {
      const after = payoutAfter(
        started,
        prepared0,
        signed0,
        ...decided,
        ...writable(recordOffer({ ...offer, answer }, offered)),
      );
      expect(after.phase).toBe('signed');
      expect(after.offers[TX0]?.answer).toBe(answer);
      expect(removeWithdrawal(remove('w1'), after)).toHaveProperty('rejected');
    }
  });

  it('is about something that was signed', () => {
    expect(recordOffer(offer, payoutAfter(started, prepared0))).toMatchObject({ rejected: 'payout-not-ready' });
  });
});

describe('why it waits, and bumps', () => {
  const defer = { payoutId: 'p', reason: 'signer-unavailable' as const, detail: 'no answer' };

  it('says why, once per reason, until it goes on', () => {
    const decided = writable(deferPayout(defer, payoutAfter(started)));
    expect(deferPayout({ ...defer, detail: 'still none' }, payoutAfter(started, ...decided))).toEqual([]);
    expect(deferPayout({ ...defer, reason: 'signer-refused' }, payoutAfter(started, ...decided))).toHaveLength(1);
    expect(payoutAfter(started, ...decided, prepared0).deferred).toBeNull();
    expect(deferPayout(defer, payoutAfter())).toMatchObject({ rejected: 'payout-not-found' });
  });

  it('takes a bump once it is signed', () => {
    const state = payoutAfter(started, prepared0, signed0);
    const decided = writable(requestBump(bump, state));
    expect(decided).toEqual([{ type: 'BumpRequested', data: bump }]);
    expect(payoutAfter(started, prepared0, signed0, ...decided).bump).toEqual({
      withdrawalId: 'w1',
      feeRateSatsPerKvb: '5000',
    });
    for (const events of [[started], [started, prepared0], [started, prepared0, signed0, halted]]) {
      expect(requestBump(bump, payoutAfter(...events))).toMatchObject({ rejected: 'withdrawal-not-bumpable' });
    }
    expect(requestBump(bump, payoutAfter())).toMatchObject({ rejected: 'payout-not-found' });
  });

  it('answers a bump once: by a new candidate, or by why not', () => {
    const asked: DomainEvent = { type: 'BumpRequested', data: bump };
    const refusal = { payoutId: 'p', reason: 'fee-too-low' as const, detail: 'below relay' };
    const events = [started, prepared0, signed0, asked];
    const decided = writable(refuseBump(refusal, payoutAfter(...events)));
    expect(payoutAfter(...events, ...decided)).toMatchObject({ bump: null, refusal: { reason: 'fee-too-low' } });
    expect(refuseBump(refusal, payoutAfter(...events, ...decided))).toEqual([]);
    expect(refuseBump(refusal, payoutAfter(...events, ...decided, asked))).toHaveLength(1);
    const replaced: DomainEvent = { type: 'CandidatePrepared', data: prepared(1, first) };
    expect(payoutAfter(...events, replaced)).toMatchObject({ bump: null, refusal: null });
    expect(refuseBump(refusal, payoutAfter())).toMatchObject({ rejected: 'payout-not-found' });
  });
});
