import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SCRIPT_OF_KIND, seededRandom, testCoin } from '../../../test/support/test-coins.js';
import type { PlannedTransaction } from '../../domain/events/payout-events.js';
import type { ScriptKind } from '../descriptors/parse-descriptor.js';
import type { Coin } from './coin.js';
import { dustLimitSats } from './dust.js';
import type { Planned, PlanningParameters } from './plan-parts.js';
import { planPayment } from './plan-payment.js';
import { planReplacement, type EarlierCandidate, type PlanReplacementParameters } from './plan-replacement.js';
import { outpointOf } from './unsigned-transaction.js';

const INCREMENTAL = 1_000n;
const RECIPIENTS = [
  { withdrawalId: 'w-1', script: SCRIPT_OF_KIND.wpkh, amountSats: 100_000n },
  { withdrawalId: 'w-2', script: SCRIPT_OF_KIND.tr, amountSats: 33_333n },
];

function planning(changes: Partial<PlanningParameters> = {}): PlanningParameters {
  return {
    coins: [],
    change: { script: SCRIPT_OF_KIND.wpkh, index: 9, kind: 'wpkh' },
    feeRateSatsPerKvb: 5_000n,
    longTermFeeRateSatsPerKvb: 10_000n,
    maxFeeSats: null,
    maxInputs: 600,
    maxWeight: 400_000,
    tipHeight: 800_000,
    redeemScriptOf: () => {
      throw new Error('no coin here has a redeem script');
    },
    random: seededRandom(1),
    ...changes,
  };
}

function first(coins: readonly Coin[], changes: Partial<PlanningParameters> = {}): Planned {
  return expectPlanned(planPayment({ ...planning({ coins, ...changes }), keep: [], recipients: RECIPIENTS }));
}

function replacing(earlier: readonly EarlierCandidate[], changes: Partial<PlanReplacementParameters> = {}) {
  return planReplacement({
    ...planning(),
    earlier,
    incrementalFeeRateSatsPerKvb: INCREMENTAL,
    maxFeeRateSatsPerKvb: 500_000n,
    exactRate: false,
    untouchableChange: new Set(),
    ...changes,
  });
}

function expectPlanned(plan: ReturnType<typeof planPayment>): Planned {
  if (plan.kind === 'refused') throw new Error(plan.detail);
  return plan;
}

const candidateOf = ({ transaction }: Planned, shorterWeight = 0, descendantFeesSats = 0n): EarlierCandidate => ({
  transaction,
  signed: [{ txid: transaction.txid ?? 'ff'.repeat(32), weight: transaction.weight - shorterWeight }],
  descendantFeesSats,
});

const outpointsOf = ({ inputs }: PlannedTransaction): string[] => inputs.map(outpointOf);
const paymentsOf = ({ outputs }: PlannedTransaction): string[] =>
  outputs
    .flatMap(({ withdrawalId, script, amountSats }) =>
      withdrawalId === null ? [] : [`${withdrawalId} ${script} ${amountSats}`],
    )
    .sort();
const changeOf = ({ outputs }: PlannedTransaction) => outputs.find(({ changeIndex }) => changeIndex !== null);

/** BIP125 as a node applies it, with the new signatures as long and the old ones as short as they may be. */
function expectReplaces(tx: PlannedTransaction, earlier: readonly EarlierCandidate[]): void {
  const fee = BigInt(tx.feeSats);
  const vsize = BigInt(Math.ceil(tx.weight / 4));
  const own = new Set(outpointsOf(tx));
  for (const { transaction, signed, descendantFeesSats } of earlier) {
    const oldFee = BigInt(transaction.feeSats);
    const oldVsize = BigInt(Math.ceil(Math.min(...signed.map(({ weight }) => weight)) / 4));
    const kept = new Set(outpointsOf(transaction));
    expect(outpointsOf(transaction).every((outpoint) => own.has(outpoint))).toBe(true);
    // Rule 2: no unconfirmed input that it did not have.
    expect(tx.inputs.filter((input) => input.blockHash === null && !kept.has(outpointOf(input)))).toEqual([]);
    // Rules 3 and 4.
    expect(fee * 1000n).toBeGreaterThanOrEqual((oldFee + descendantFeesSats) * 1000n + INCREMENTAL * vsize);
    // A higher rate.
    expect(fee * oldVsize).toBeGreaterThan(oldFee * vsize);
    expect(paymentsOf(tx)).toEqual(paymentsOf(transaction));
  }
  const sats = (parts: readonly { amountSats: string }[]): bigint =>
    parts.reduce((sum, { amountSats }) => sum + BigInt(amountSats), 0n);
  expect(sats(tx.inputs)).toBe(sats(tx.outputs) + fee);
  for (const { script, amountSats } of tx.outputs) {
    expect(BigInt(amountSats)).toBeGreaterThanOrEqual(dustLimitSats(Buffer.from(script, 'hex')));
  }
}

describe('a replacement', () => {
  it('takes the fee from the change', () => {
    const earlier = candidateOf(first([testCoin(1, 1_000_000n)]));
    const plan = expectPlanned(replacing([earlier], { feeRateSatsPerKvb: 20_000n, coins: [testCoin(2, 1_000_000n)] }));
    expectReplaces(plan.transaction, [earlier]);
    expect(plan.added).toEqual([]);
    expect(changeOf(plan.transaction)).toMatchObject({ script: SCRIPT_OF_KIND.wpkh, changeIndex: 9 });
    expect(plan.transaction.feeRateSatsPerKvb).toBe('20000');
    expect(BigInt(plan.transaction.feeSats)).toBe(20n * BigInt(Math.ceil(plan.transaction.weight / 4)));
  });

  it('lets the change go where it would be dust', () => {
    const earlier = candidateOf(first([testCoin(1, 137_000n)], { longTermFeeRateSatsPerKvb: 1_000n }));
    expect(changeOf(earlier.transaction)).toBeDefined();
    const plan = expectPlanned(replacing([earlier], { feeRateSatsPerKvb: 19_000n, longTermFeeRateSatsPerKvb: 1_000n }));
    expect(changeOf(plan.transaction)).toBeUndefined();
    expect(plan).toMatchObject({ changeVout: null, added: [] });
    expectReplaces(plan.transaction, [earlier]);
  });

  it('of one without change adds a confirmed coin, and neither an unconfirmed one nor an output of what goes away', () => {
    const earlier = candidateOf(first([testCoin(1, 134_400n)]));
    expect(changeOf(earlier.transaction)).toBeUndefined();
    const unconfirmed = { ...testCoin(2, 1_000_000n), blockHash: null, confirmations: 0 };
    const ownOutput = { ...testCoin(3, 1_000_000n), txid: earlier.transaction.txid ?? '' };
    const wanted = { feeRateSatsPerKvb: 20_000n };
    const useless = replacing([earlier], { ...wanted, coins: [unconfirmed, ownOutput] });
    expect(useless).toMatchObject({ kind: 'refused', reason: 'wallet-too-low' });
    const confirmed = testCoin(4, 50_000n);
    const plan = expectPlanned(replacing([earlier], { ...wanted, coins: [unconfirmed, ownOutput, confirmed] }));
    expect(plan.added).toEqual([confirmed]);
    expect(changeOf(plan.transaction)).toMatchObject({ changeIndex: 9 });
    expectReplaces(plan.transaction, [earlier]);
  });

  it('pays what a node demands where the rate asked for is less; or says so where the rate is to be exact', () => {
    const earlier = candidateOf(first([testCoin(1, 1_000_000n)]));
    const plan = expectPlanned(replacing([earlier], { feeRateSatsPerKvb: 5_500n }));
    expectReplaces(plan.transaction, [earlier]);
    expect(plan.transaction.feeRateSatsPerKvb).toBe('6000');
    expect(replacing([earlier], { feeRateSatsPerKvb: 5_500n, exactRate: true })).toEqual({
      kind: 'refused',
      reason: 'fee-too-low',
      detail: 'A node takes a replacement from 6 sat/vB on; asked for were 5.5 sat/vB.',
    });
    expect(replacing([earlier], { feeRateSatsPerKvb: 6_000n, exactRate: true }).kind).toBe('planned');
  });

  it('pays for the children that go with what it replaces', () => {
    const earlier = candidateOf(first([testCoin(1, 1_000_000n)]), 0, 7_000n);
    const plan = expectPlanned(replacing([earlier], { feeRateSatsPerKvb: 6_000n }));
    expectReplaces(plan.transaction, [earlier]);
    expect(BigInt(plan.transaction.feeSats)).toBeGreaterThan(8_000n);
  });

  it('is refused above the bounds of fee and rate', () => {
    const earlier = candidateOf(first([testCoin(1, 1_000_000n)]));
    const needed = BigInt(expectPlanned(replacing([earlier], { feeRateSatsPerKvb: 6_000n })).transaction.feeSats);
    expect(replacing([earlier], { maxFeeSats: needed })).toMatchObject({ kind: 'planned' });
    expect(replacing([earlier], { maxFeeSats: needed - 1n })).toMatchObject({ reason: 'fee-above-bound' });
    expect(replacing([earlier], { maxFeeRateSatsPerKvb: 6_000n })).toMatchObject({ kind: 'planned' });
    expect(replacing([earlier], { maxFeeRateSatsPerKvb: 5_990n })).toMatchObject({ reason: 'fee-above-bound' });
    expect(replacing([earlier], { feeRateSatsPerKvb: 6_001n, maxFeeRateSatsPerKvb: 6_000n })).toMatchObject({
      reason: 'fee-above-bound',
    });
  });

  it('is refused where somebody builds on the change of any earlier candidate', () => {
    const one = candidateOf(first([testCoin(1, 1_000_000n)]));
    const two = candidateOf(expectPlanned(replacing([one], { feeRateSatsPerKvb: 9_000n })));
    const outpoints = [one, two].map(({ transaction, signed }) => {
      const vout = transaction.outputs.findIndex(({ changeIndex }) => changeIndex !== null);
      return outpointOf({ txid: signed[0]?.txid ?? '', vout });
    });
    for (const outpoint of outpoints) {
      expect(
        replacing([one, two], { feeRateSatsPerKvb: 20_000n, untouchableChange: new Set([outpoint]) }),
      ).toMatchObject({
        reason: 'not-replaceable',
      });
    }
    const other = new Set([outpointOf({ txid: 'ab'.repeat(32), vout: 0 })]);
    expect(replacing([one, two], { feeRateSatsPerKvb: 20_000n, untouchableChange: other }).kind).toBe('planned');
  });

  it('does not take part where candidates pay different people', () => {
    const one = candidateOf(first([testCoin(1, 1_000_000n)]));
    const others = RECIPIENTS.slice(1);
    const two = candidateOf(
      expectPlanned(planPayment({ ...planning(), coins: [testCoin(1, 1_000_000n)], keep: [], recipients: others })),
    );
    expect(() => replacing([one, two])).toThrow(/pay the same/);
  });

  it('of a replacement of a replacement shares every input with all of them, and outbids each, for every kind of wallet', () => {
    const kinds: ScriptKind[] = ['pkh', 'wpkh', 'tr'];
    const seen = { planned: 0, added: 0, withoutChange: 0 };
    const some = fc.record({
      seed: fc.integer(),
      kind: fc.constantFrom(...kinds),
      amounts: fc.array(fc.integer({ min: 5_000, max: 120_000 }), { minLength: 6, maxLength: 60 }),
      rate: fc.bigInt({ min: 1_000n, max: 20_000n }),
      steps: fc.array(
        fc.record({
          raise: fc.bigInt({ min: -500n, max: 20_000n }),
          shorterWeight: fc.integer({ min: 0, max: 12 }),
          descendants: fc.constantFrom(0n, 0n, 900n, 30_000n),
        }),
        { minLength: 1, maxLength: 5 },
      ),
    });
    fc.assert(
      fc.property(some, ({ seed, kind, amounts, rate, steps }) => {
        const random = seededRandom(seed);
        const coins = amounts.map((amount, number) => testCoin(number, BigInt(amount), kind));
        const change = { script: SCRIPT_OF_KIND[kind], index: 2, kind };
        const common = { change, random, feeRateSatsPerKvb: rate };
        const start = planPayment({ ...planning({ coins, ...common }), keep: [], recipients: RECIPIENTS });
        if (start.kind === 'refused') return;
        const earlier = [candidateOf(start)];
        const reserved = new Set(start.added.map(outpointOf));
        let wanted = rate;
        for (const { raise, shorterWeight, descendants } of steps) {
          wanted += raise;
          const free = coins.filter((coin) => !reserved.has(outpointOf(coin)));
          const plan = replacing(earlier, { ...common, coins: free, feeRateSatsPerKvb: wanted > 0n ? wanted : 1n });
          if (plan.kind === 'refused') {
            expect(plan.reason).toBe('wallet-too-low');
            return;
          }
          seen.planned++;
          if (plan.added.length > 0) seen.added++;
          if (plan.changeVout === null) seen.withoutChange++;
          expectReplaces(plan.transaction, earlier);
          expect(plan.added.every((coin) => !reserved.has(outpointOf(coin)))).toBe(true);
          for (const coin of plan.added) reserved.add(outpointOf(coin));
          earlier.push(candidateOf(plan, shorterWeight, descendants));
        }
      }),
      { numRuns: 900 },
    );
    expect(Math.min(...Object.values(seen))).toBeGreaterThan(20);
  });
});
