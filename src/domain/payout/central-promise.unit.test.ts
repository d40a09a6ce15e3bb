import fc from 'fast-check';
import { expect, it } from 'vitest';
import { hashOf, paid, planOf, prepared, signedForm, startedWith } from '../../../test/support/payout-cases.js';
import { InvariantError } from '../../platform/assert.js';
import type { DomainEvent } from '../events/event-types.js';
import type { Rejection } from '../rejection.js';
import { haltPayout } from './halt-payout.js';
import { outpointsOf } from './payout-candidates.js';
import { evolvePayout, initialPayoutState, type PayoutState } from './payout-state.js';
import { prepareCandidate } from './prepare-candidate.js';
import { recordOffer } from './record-offer.js';
import { recordSigned } from './record-signed.js';
import { removeWithdrawal } from './remove-withdrawal.js';
import { requestBump } from './request-bump.js';
import { resolvePayout } from './resolve-payout.js';
import { resumePayout } from './resume-payout.js';
import { settlePayout } from './settle-payout.js';

const WITHDRAWALS = [paid(1), paid(2), paid(3, { maxFeeSats: null })];
const FOREIGN = hashOf(666);

/** What a planner, a signer, a person or a fault might ask, right or wrong. */
type Ask =
  | { do: 'prepare'; coins: readonly number[]; keep: boolean; drop: number; fee: number }
  | { do: 'sign'; candidate: number; form: number }
  | { do: 'remove'; withdrawal: number }
  | { do: 'offer'; answer: 'accepted' | 'inputs-spent' | 'refused' | 'unknown' }
  | { do: 'resolve'; outcome: 'pay-again' | 'paid' | 'give-up'; confirmations: number }
  | { do: 'settle' | 'bump' | 'halt' | 'resume' };

const ask: fc.Arbitrary<Ask> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('prepare' as const),
      coins: fc.uniqueArray(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 }),
      /** As a right planner would: with all that was there before. Else whatever comes. */
      keep: fc.boolean(),
      drop: fc.integer({ min: 0, max: 5 }),
      fee: fc.integer({ min: 1, max: 5_000 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('sign' as const),
      candidate: fc.integer({ min: 0, max: 6 }),
      form: fc.integer({ min: 0, max: 1 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('remove' as const), withdrawal: fc.integer({ min: 0, max: 2 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('offer' as const),
      answer: fc.constantFrom('accepted', 'inputs-spent', 'refused', 'unknown'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('resolve' as const),
      outcome: fc.constantFrom('pay-again', 'paid', 'give-up'),
      confirmations: fc.integer({ min: 8, max: 12 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('settle', 'bump', 'halt', 'resume') }) },
);

function decide(asked: Ask, state: PayoutState): DomainEvent[] | Rejection {
  const payoutId = 'p';
  const signed = state.candidates.flatMap((candidate) => candidate.signed);
  switch (asked.do) {
    case 'prepare': {
      const before = state.candidates.flatMap(({ kind, round, transaction }) =>
        kind === 'payment' && round === state.round ? transaction.inputs.map(({ txid }) => Number(`0x${txid}`)) : [],
      );
      const coins = asked.keep ? [...new Set([...before, ...asked.coins])] : asked.coins;
      // Most often all recipients, sometimes one too few.
      const recipients = state.withdrawals.filter((_, at) => at !== asked.drop);
      const plan = planOf(coins, recipients, { fee: BigInt(asked.fee) });
      return prepareCandidate(prepared(state.candidates.length, plan), state, {
        isReserved: () => true,
        isAssigned: () => true,
      });
    }
    case 'sign': {
      const candidate = state.candidates[asked.candidate];
      if (candidate === undefined) return [];
      const txid = hashOf(1_000 + 10 * asked.candidate + asked.form);
      return recordSigned(signedForm(asked.candidate, candidate.transaction, txid), state);
    }
    case 'remove': {
      const withdrawalId = WITHDRAWALS[asked.withdrawal]?.withdrawalId ?? '';
      return removeWithdrawal({ payoutId, withdrawalId, reason: null }, state);
    }
    case 'offer':
      return recordOffer({ payoutId, txid: signed[0]?.txid ?? FOREIGN, answer: asked.answer, detail: '' }, state);
    case 'resolve':
      return resolvePayout({ payoutId, outcome: asked.outcome, byTxid: FOREIGN, note: '' }, state, {
        confirmations: asked.confirmations,
        outpoint: `${hashOf(1)}:0`,
        unpaid: [],
      });
    case 'settle':
      return settlePayout({ payoutId, txid: signed.at(-1)?.txid ?? FOREIGN }, state);
    case 'bump':
      return requestBump({ payoutId, withdrawalId: null, feeRateSatsPerKvb: null }, state);
    case 'halt':
      return haltPayout(
        { payoutId, outpoint: `${hashOf(1)}:0`, byTxid: FOREIGN, blockHash: hashOf(7), height: 7 },
        state,
      );
    case 'resume':
      return resumePayout({ payoutId, byTxid: FOREIGN }, state);
  }
}

interface SignedPayment {
  round: number;
  inputs: ReadonlySet<string>;
  recipients: string;
}

it('whatever is asked in whichever order, two payments signed for the same withdrawal share an input, unless a person said pay again', () => {
  let withTwo = 0;
  let refusedPlans = 0;
  fc.assert(
    fc.property(fc.array(ask, { minLength: 5, maxLength: 60 }), (asks) => {
      let state = evolvePayout(initialPayoutState, { type: 'PayoutStarted', data: startedWith(WITHDRAWALS) });
      const payments: SignedPayment[] = [];
      let settlements = 0;
      for (const asked of asks) {
        let decided: DomainEvent[] | Rejection;
        try {
          decided = decide(asked, state);
        } catch (error) {
          // A plan that could pay twice stops the process before it writes.
          if (!(error instanceof InvariantError) || asked.do !== 'prepare') throw error;
          refusedPlans += 1;
          continue;
        }
        if (!Array.isArray(decided)) continue;
        for (const event of decided) {
          const wasSigned = state.phase === 'signed';
          state = evolvePayout(state, event);
          if (event.type === 'PayoutSettled') settlements += 1;
          // No way back from signed, but by a person.
          if (wasSigned && event.type !== 'PayoutResolved') {
            expect(['signed', 'settled', 'halted']).toContain(state.phase);
          }
          if (event.type !== 'CandidateSigned') continue;
          const { transaction, round } = state.candidates[event.data.candidate] ?? never();
          const recipients = transaction.outputs
            .filter(({ withdrawalId }) => withdrawalId !== null)
            .map(({ withdrawalId, script, amountSats }) => `${withdrawalId}:${script}:${amountSats}`)
            .sort()
            .join();
          payments.push({ round, inputs: new Set(outpointsOf(transaction)), recipients });
        }
      }
      expect(settlements).toBeLessThanOrEqual(1);
      for (const [at, one] of payments.entries()) {
        for (const other of payments.slice(at + 1)) {
          if (one.round !== other.round) continue;
          expect([...one.inputs].some((outpoint) => other.inputs.has(outpoint))).toBe(true);
          expect(other.recipients).toBe(one.recipients);
        }
      }
      if (payments.length > 1 && new Set(payments.map(({ inputs }) => [...inputs].sort().join())).size > 1)
        withTwo += 1;
    }),
    { numRuns: 1_500 },
  );
  // The cases that matter did occur.
  expect(withTwo).toBeGreaterThan(20);
  expect(refusedPlans).toBeGreaterThan(100);
});

function never(): never {
  throw new Error('what is signed was prepared');
}
