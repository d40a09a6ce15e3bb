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
import { newEvents } from '../new-event.js';
import { closePayout } from './close-payout.js';
import { haltPayout } from './halt-payout.js';
import { requiredInputs } from './payout-candidates.js';
import { prepareCandidate } from './prepare-candidate.js';
import { recordOffer } from './record-offer.js';
import { recordSigned } from './record-signed.js';
import { removeWithdrawal } from './remove-withdrawal.js';
import { requestBump } from './request-bump.js';
import { resolvePayout, type ResolveFacts, type ResolvePayout } from './resolve-payout.js';
import { resumePayout } from './resume-payout.js';
import { settlePayout } from './settle-payout.js';

const A = paid(1, { maxFeeSats: '100' });
const B = paid(2, { maxFeeSats: null });
const first = planOf([1, 2], [A, B], { fee: 600n });
const second = planOf([1, 2, 3], [A, B], { fee: 900n });
const [TX0, TX1, FOREIGN] = [hashOf(500), hashOf(501), hashOf(666)];
const prepared0: DomainEvent = { type: 'CandidatePrepared', data: prepared(0, first) };
const signed0: DomainEvent = { type: 'CandidateSigned', data: signedForm(0, first, TX0) };
const started: DomainEvent = { type: 'PayoutStarted', data: startedWith([A, B]) };
const signed = [started, prepared0, signed0];
const bumped: DomainEvent[] = [
  ...signed,
  { type: 'CandidatePrepared', data: prepared(1, second) },
  { type: 'CandidateSigned', data: signedForm(1, second, TX1) },
];
const halt = { payoutId: 'p', outpoint: `${hashOf(1)}:0`, byTxid: FOREIGN, blockHash: hashOf(7), height: 7 };
const halted: DomainEvent = { type: 'PayoutHalted', data: halt };
const resolve = (outcome: ResolvePayout['outcome']): ResolvePayout => ({
  payoutId: 'p',
  outcome,
  byTxid: FOREIGN,
  note: '',
});
const buried = (change: Partial<ResolveFacts> = {}): ResolveFacts => ({
  confirmations: 10,
  outpoint: halt.outpoint,
  unpaid: [],
  ...change,
});
const yes = { isReserved: () => true, isAssigned: () => true };

function writable(decided: DomainEvent[] | object): DomainEvent[] {
  if (!Array.isArray(decided)) throw new Error(`refused: ${JSON.stringify(decided)}`);
  newEvents(decided as DomainEvent[], { ledger: 'main', key: 'k', metadata: {} });
  return decided as DomainEvent[];
}

describe('settling', () => {
  it('divides the fee of the payment that confirmed, once', () => {
    const decided = writable(settlePayout({ payoutId: 'p', txid: TX0 }, payoutAfter(...bumped)));
    expect(decided).toEqual([
      {
        type: 'PayoutSettled',
        data: {
          payoutId: 'p',
          txid: TX0,
          feeSats: '600',
          houseFeeSats: '500',
          // Half is 300 each: the first allowed 100, the second nothing.
          shares: [
            { withdrawalId: 'w1', accountId: 'a1', amountSats: '10000', feeSats: '100' },
            { withdrawalId: 'w2', accountId: 'a2', amountSats: '10000', feeSats: '0' },
          ],
          postings: [
            { book: 'fees', amountSats: '500' },
            { book: 'transit', amountSats: '-500' },
          ],
        },
      },
    ]);
    const state = payoutAfter(...bumped, ...decided);
    expect(state.phase).toBe('settled');
    expect(settlePayout({ payoutId: 'p', txid: TX0 }, state)).toEqual([]);
    expect(settlePayout({ payoutId: 'p', txid: TX1 }, state)).toEqual([]);
    expect(removeWithdrawal({ payoutId: 'p', withdrawalId: 'w1', reason: null }, state)).toHaveProperty('rejected');
    expect(requestBump({ payoutId: 'p', withdrawalId: null, feeRateSatsPerKvb: null }, state)).toHaveProperty(
      'rejected',
    );
  });

  it('leaves the house out where the accounts pay it all', () => {
    const [C] = [paid(3, { maxFeeSats: '600' })];
    const plan = planOf([1], [C], { fee: 600n });
    const state = payoutAfter(
      { type: 'PayoutStarted', data: startedWith([C]) },
      { type: 'CandidatePrepared', data: prepared(0, plan) },
      { type: 'CandidateSigned', data: signedForm(0, plan, TX0) },
    );
    expect(writable(settlePayout({ payoutId: 'p', txid: TX0 }, state))[0]?.data).toMatchObject({
      houseFeeSats: '0',
      postings: [],
    });
  });

  it('knows a payment that the signer broadcast on its own by its txid', () => {
    const known: DomainEvent = { type: 'CandidatePrepared', data: prepared(0, { ...first, txid: TX0 }) };
    expect(settlePayout({ payoutId: 'p', txid: TX0 }, payoutAfter(started, known))).toHaveLength(1);
    const removed: DomainEvent = {
      type: 'WithdrawalRemoved',
      data: { payoutId: 'p', withdrawalId: 'w2', reason: null },
    };
    expect(settlePayout({ payoutId: 'p', txid: TX0 }, payoutAfter(started, known, removed))).toHaveProperty('rejected');
  });

  it('takes nothing else for it', () => {
    expect(settlePayout({ payoutId: 'p', txid: TX0 }, payoutAfter())).toMatchObject({ rejected: 'payout-not-found' });
    for (const events of [[...signed, halted], [started]]) {
      expect(settlePayout({ payoutId: 'p', txid: TX0 }, payoutAfter(...events))).toMatchObject({
        rejected: 'payout-not-ready',
      });
    }
    expect(settlePayout({ payoutId: 'p', txid: FOREIGN }, payoutAfter(...signed))).toHaveProperty('rejected');
  });
});

describe('closing', () => {
  const settled = [...bumped, ...writable(settlePayout({ payoutId: 'p', txid: TX0 }, payoutAfter(...bumped)))];
  const close = (
    txid: string,
    childTxids: readonly string[],
    events: readonly DomainEvent[],
  ): ReturnType<typeof closePayout> => closePayout({ payoutId: 'p', txid, childTxids }, payoutAfter(...events));

  it('is free where the chain took what was settled', () => {
    const decided = writable(close(TX0, [], settled));
    expect(decided).toEqual([
      { type: 'PayoutClosed', data: { payoutId: 'p', txid: TX0, extraFeeSats: '0', postings: [] } },
    ]);
    const state = payoutAfter(...settled, ...decided);
    expect(state).toMatchObject({ phase: 'closed', candidates: [], offers: {} });
    expect(closePayout({ payoutId: 'p', txid: TX0, childTxids: [] }, state)).toEqual([]);
  });

  it('books what another payment took after a reorg, more or less', () => {
    expect(writable(close(TX1, [], settled))[0]?.data).toMatchObject({
      extraFeeSats: '300',
      postings: [
        { book: 'fees', amountSats: '300' },
        { book: 'transit', amountSats: '-300' },
      ],
    });
    const other = [...bumped, ...writable(settlePayout({ payoutId: 'p', txid: TX1 }, payoutAfter(...bumped)))];
    expect(writable(close(TX0, [], other))[0]?.data).toMatchObject({
      extraFeeSats: '-300',
      postings: [
        { book: 'fees', amountSats: '-300' },
        { book: 'transit', amountSats: '300' },
      ],
    });
  });

  it('books the fee of a child', () => {
    const change = { ...first.inputs[0], txid: TX0, vout: 2, blockHash: null } as (typeof first.inputs)[number];
    const out = { script: '00', amountSats: '99000', withdrawalId: null, changeIndex: 1 };
    const plan = { ...first, inputs: [change], outputs: [out], feeSats: '1000' };
    const child: DomainEvent[] = [
      { type: 'CandidatePrepared', data: prepared(2, plan, 'child') },
      { type: 'CandidateSigned', data: signedForm(2, plan, hashOf(502)) },
    ];
    expect(writable(close(TX0, [hashOf(502)], [...settled, ...child]))[0]?.data).toMatchObject({
      extraFeeSats: '1000',
    });
    // A child settles nothing and ends nothing.
    expect(close(hashOf(502), [], [...settled, ...child])).toHaveProperty('rejected');
    expect(close(TX0, [TX1], [...settled, ...child])).toHaveProperty('rejected');
    expect(settlePayout({ payoutId: 'p', txid: hashOf(502) }, payoutAfter(...bumped, ...child))).toHaveProperty(
      'rejected',
    );
  });

  it('comes after settling', () => {
    expect(close(TX0, [], signed)).toMatchObject({ rejected: 'payout-not-ready' });
    expect(close(FOREIGN, [], settled)).toMatchObject({ rejected: 'payout-not-ready' });
    expect(close(TX0, [], [...settled, halted])).toMatchObject({ rejected: 'payout-not-ready' });
    expect(close(TX0, [], [])).toMatchObject({ rejected: 'payout-not-found' });
  });
});

describe('a coin that somebody else spent', () => {
  it('halts the payout, once, and nothing is prepared, signed or settled meanwhile', () => {
    expect(writable(haltPayout(halt, payoutAfter(...signed)))).toEqual([halted]);
    const state = payoutAfter(...signed, halted);
    expect(state.phase).toBe('halted');
    expect(haltPayout({ ...halt, byTxid: hashOf(667) }, state)).toEqual([]);
    expect(prepareCandidate(prepared(1, second), state, yes)).toHaveProperty('rejected');
    expect(recordSigned(signedForm(0, first, hashOf(502)), state)).toHaveProperty('rejected');
    expect(haltPayout(halt, payoutAfter())).toMatchObject({ rejected: 'payout-not-found' });
  });

  it('does not halt it where only a later payment spends the coin: the first goes on', () => {
    const added = { ...halt, outpoint: `${hashOf(3)}:0` };
    expect(haltPayout(added, payoutAfter(...bumped))).toEqual([]);
    expect(haltPayout(halt, payoutAfter(...bumped))).toHaveLength(1);
  });

  it('is never a spend of our own, also where its signature came back after the look at the chain', () => {
    expect(haltPayout({ ...halt, byTxid: TX0 }, payoutAfter(...signed))).toEqual([]);
  });

  it('lets nobody be taken out, signed or not: whoever took the coin may have paid them', () => {
    const out = { payoutId: 'p', withdrawalId: 'w1', reason: null };
    const refused = { rejected: 'withdrawal-not-cancellable' };
    expect(removeWithdrawal(out, payoutAfter(started, prepared0, halted))).toMatchObject(refused);
    const resumed: DomainEvent = { type: 'PayoutResumed', data: { payoutId: 'p', byTxid: FOREIGN } };
    expect(removeWithdrawal(out, payoutAfter(started, prepared0, halted, resumed))).toHaveLength(1);
  });

  it('goes on where it stood when the block is taken off', () => {
    const resumed = writable(resumePayout({ payoutId: 'p', byTxid: FOREIGN }, payoutAfter(...signed, halted)));
    expect(payoutAfter(...signed, halted, ...resumed).phase).toBe('signed');
    expect(resumePayout({ payoutId: 'p', byTxid: hashOf(1) }, payoutAfter(...signed, halted))).toEqual([]);
    expect(resumePayout({ payoutId: 'p', byTxid: FOREIGN }, payoutAfter(...signed))).toEqual([]);
  });
});

describe('what a person decides', () => {
  const atHalt = [...signed, halted];
  const decide = (
    outcome: ResolvePayout['outcome'],
    facts = buried(),
    events: readonly DomainEvent[] = atHalt,
  ): object => resolvePayout(resolve(outcome), payoutAfter(...events), facts);

  it.each(['pay-again', 'paid', 'give-up'] as const)('%s: only while halted, and only once it is buried', (outcome) => {
    expect(decide(outcome, buried({ confirmations: 9 }))).toEqual({
      rejected: 'payout-not-resolvable',
      detail: `${FOREIGN} has 9 confirmations; it must have 10 before this can be decided.`,
    });
    expect(decide(outcome, buried({ confirmations: 0 }))).toMatchObject({ rejected: 'payout-not-resolvable' });
    expect(decide(outcome, buried({ outpoint: null }))).toMatchObject({ rejected: 'payout-not-resolvable' });
    expect(decide(outcome, buried(), signed)).toMatchObject({ rejected: 'payout-not-resolvable' });
    expect(decide(outcome, buried(), [])).toMatchObject({ rejected: 'payout-not-found' });
    expect(resolvePayout({ ...resolve(outcome), byTxid: TX0 }, payoutAfter(...atHalt), buried())).toMatchObject({
      rejected: 'payout-not-resolvable',
    });
    expect(decide(outcome)).toHaveLength(outcome === 'paid' ? 2 : 1);
  });

  it.each(['pay-again', 'paid', 'give-up'] as const)(
    '%s: not while an earlier payment could still confirm, because only a coin of a replacement was taken',
    (outcome) => {
      const events = [...bumped, halted];
      expect(decide(outcome, buried({ outpoint: `${hashOf(3)}:0` }), events)).toMatchObject({
        rejected: 'payout-not-resolvable',
      });
      expect(Array.isArray(decide(outcome, buried({ outpoint: `${hashOf(2)}:0` }), events))).toBe(true);
    },
  );

  it('pay again: starts over, and needs none of the old inputs; what was signed before is not to be signed again', () => {
    const events = [...atHalt, ...writable(decide('pay-again'))];
    const state = payoutAfter(...events);
    expect(state).toMatchObject({ phase: 'started', round: 1, halt: null });
    expect(requiredInputs(payoutAfter(...atHalt))).toEqual([`${hashOf(1)}:0`, `${hashOf(2)}:0`]);
    expect(requiredInputs(state)).toEqual([]);
    // The same foreign spend, seen once more, does not halt it again; another one does.
    expect(haltPayout(halt, state)).toEqual([]);
    expect(haltPayout({ ...halt, byTxid: hashOf(667) }, state)).toHaveLength(1);
    const again = planOf([8, 9], [A, B]);
    const decided = writable(prepareCandidate(prepared(1, again), state, yes));
    const next = payoutAfter(...events, ...decided);
    expect(next.phase).toBe('prepared');
    expect(recordSigned(signedForm(0, first, hashOf(503)), next)).toMatchObject({ rejected: 'psbt-mismatch' });
    expect(recordSigned(signedForm(1, again, hashOf(504)), next)).toHaveLength(1);
    // The rule holds within the new round.
    expect(() => prepareCandidate(prepared(2, planOf([8], [A, B])), next, yes)).toThrow(InvariantError);
    // An answer about an old transaction may still come.
    expect(recordOffer({ payoutId: 'p', txid: TX0, answer: 'inputs-spent', detail: '' }, next)).toHaveLength(1);
  });

  it('pay again after it was settled: settles nothing twice, and closes with the difference', () => {
    const settled = [...signed, ...writable(settlePayout({ payoutId: 'p', txid: TX0 }, payoutAfter(...signed)))];
    const events = [...settled, halted, ...writable(decide('pay-again', buried(), [...settled, halted]))];
    expect(payoutAfter(...events).phase).toBe('started');
    const again = planOf([8, 9], [A, B], { fee: 700n });
    const paidAgain: DomainEvent[] = [
      ...events,
      { type: 'CandidatePrepared', data: prepared(1, again) },
      { type: 'CandidateSigned', data: signedForm(1, again, TX1) },
    ];
    expect(settlePayout({ payoutId: 'p', txid: TX1 }, payoutAfter(...paidAgain))).toEqual([]);
    expect(removeWithdrawal({ payoutId: 'p', withdrawalId: 'w1', reason: null }, payoutAfter(...events))).toMatchObject(
      { rejected: 'withdrawal-not-cancellable' },
    );
    expect(
      writable(closePayout({ payoutId: 'p', txid: TX1, childTxids: [] }, payoutAfter(...paidAgain)))[0]?.data,
    ).toMatchObject({ extraFeeSats: '100' });
  });

  it('paid: the withdrawals are settled by that transaction, without a fee, and its money comes out of suspense', () => {
    const decided = writable(decide('paid'));
    expect(decided).toMatchObject([
      {
        type: 'PayoutResolved',
        data: {
          outcome: 'paid',
          confirmations: 10,
          postings: [
            { book: 'transit', amountSats: '20000' },
            { book: 'suspense', amountSats: '-20000' },
          ],
        },
      },
      { type: 'PayoutSettled', data: { txid: FOREIGN, feeSats: '0', houseFeeSats: '0', postings: [] } },
    ]);
    const state = payoutAfter(...atHalt, ...decided);
    expect(state.phase).toBe('settled');
    expect(prepareCandidate(prepared(1, second), state, yes)).toHaveProperty('rejected');
    expect(haltPayout(halt, state)).toEqual([]);
    expect(writable(closePayout({ payoutId: 'p', txid: FOREIGN, childTxids: [] }, state))[0]?.data).toMatchObject({
      extraFeeSats: '0',
    });
    expect(decide('paid', buried({ unpaid: ['w2'] }))).toEqual({
      rejected: 'payout-not-resolvable',
      detail: `${FOREIGN} does not pay withdrawal 'w2' its amount.`,
    });
  });

  it('paid after it was settled: only the money moves, and the fee that was settled is the house’s gain', () => {
    const settled = [
      ...signed,
      ...writable(settlePayout({ payoutId: 'p', txid: TX0 }, payoutAfter(...signed))),
      halted,
    ];
    const decided = writable(decide('paid', buried(), settled));
    expect(decided).toHaveLength(1);
    expect(
      writable(closePayout({ payoutId: 'p', txid: FOREIGN, childTxids: [] }, payoutAfter(...settled, ...decided)))[0]
        ?.data,
    ).toMatchObject({ extraFeeSats: '-600' });
  });

  it('give up: nothing is paid any more, and it can be closed', () => {
    const events = [...atHalt, ...writable(decide('give-up'))];
    const state = payoutAfter(...events);
    expect(state.phase).toBe('given-up');
    expect(prepareCandidate(prepared(1, second), state, yes)).toHaveProperty('rejected');
    expect(recordSigned(signedForm(0, first, hashOf(503)), state)).toHaveProperty('rejected');
    expect(settlePayout({ payoutId: 'p', txid: TX0 }, state)).toHaveProperty('rejected');
    expect(removeWithdrawal({ payoutId: 'p', withdrawalId: 'w1', reason: null }, state)).toHaveProperty('rejected');
    expect(writable(closePayout({ payoutId: 'p', txid: FOREIGN, childTxids: [] }, state))[0]?.data).toMatchObject({
      extraFeeSats: '0',
      postings: [],
    });
  });

  it('give up is no choice after it was settled: the accounts have had the money', () => {
    const settled = [
      ...signed,
      ...writable(settlePayout({ payoutId: 'p', txid: TX0 }, payoutAfter(...signed))),
      halted,
    ];
    expect(decide('give-up', buried(), settled)).toMatchObject({ rejected: 'payout-not-resolvable' });
  });
});
