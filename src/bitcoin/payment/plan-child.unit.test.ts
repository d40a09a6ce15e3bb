import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SCRIPT_OF_KIND, seededRandom, testCoin } from '../../../test/support/test-coins.js';
import { planChild, type PlanChildParameters } from './plan-child.js';

const PARENT = { feeSats: 141n, weight: 561 };
const CHANGE = { ...testCoin(1, 50_000n), blockHash: null, confirmations: 0 };

function childOf(changes: Partial<PlanChildParameters> = {}) {
  return planChild({
    parentChange: CHANGE,
    package: [PARENT],
    earlierChildren: [],
    minimumFeeRateSatsPerKvb: 1_000n,
    incrementalFeeRateSatsPerKvb: 1_000n,
    coins: [],
    change: { script: SCRIPT_OF_KIND.wpkh, index: 12, kind: 'wpkh' },
    feeRateSatsPerKvb: 20_000n,
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
  });
}

describe('a child that pays for its parents', () => {
  it('brings all of them together to the rate, to the vbyte', () => {
    const plan = childOf();
    if (plan.kind === 'refused') throw new Error(plan.detail);
    // 141 vbytes of the parent and 110 of the child, at 20 sat/vB, less what the parent pays.
    expect(plan.transaction).toMatchObject({ feeSats: String(251 * 20 - 141), weight: 438 });
    expect(plan.transaction.inputs).toMatchObject([{ txid: CHANGE.txid, vout: CHANGE.vout, blockHash: null }]);
    expect(plan.transaction.outputs).toEqual([
      { script: SCRIPT_OF_KIND.wpkh, amountSats: String(50_000 - 251 * 20 + 141), withdrawalId: null, changeIndex: 12 },
    ]);
    expect(plan.added).toEqual([]);
  });

  it('adds confirmed coins where the change is too little, never an output of its parent or an unconfirmed one', () => {
    const parentChange = { ...CHANGE, amountSats: 1_000n };
    const sibling = { ...testCoin(2, 90_000n), txid: CHANGE.txid, vout: 6 };
    const unconfirmed = { ...testCoin(3, 90_000n), blockHash: null };
    expect(childOf({ parentChange, coins: [sibling, unconfirmed] })).toMatchObject({ reason: 'wallet-too-low' });
    const plan = childOf({ parentChange, coins: [sibling, unconfirmed, testCoin(4, 90_000n)] });
    expect(plan).toMatchObject({ kind: 'planned', added: [{ txid: testCoin(4, 0n).txid }] });
  });

  it('is refused where the parents pay the rate already, and above the bound', () => {
    expect(childOf({ package: [{ feeSats: 2_820n, weight: 561 }] })).toMatchObject({ reason: 'fee-too-low' });
    expect(childOf({ package: [{ feeSats: 2_819n, weight: 561 }] })).toMatchObject({ kind: 'planned' });
    expect(childOf({ maxFeeSats: 4_879n })).toMatchObject({ kind: 'planned' });
    expect(childOf({ maxFeeSats: 4_878n })).toMatchObject({ reason: 'fee-above-bound' });
  });

  it('pays its own way, also where the parents nearly do', () => {
    const plan = childOf({
      package: [{ feeSats: 2_819n, weight: 561 }],
      feeRateSatsPerKvb: 20_000n,
      minimumFeeRateSatsPerKvb: 30_000n,
    });
    expect(plan).toMatchObject({ transaction: { feeSats: String(110 * 30 + 1) } });
  });

  it('meets its rate with any parents, replaces the children before it, and leaves no dust', () => {
    let added = 0;
    const tx = fc.record({
      feeSats: fc.bigInt({ min: 0n, max: 5_000n }),
      weight: fc.integer({ min: 400, max: 40_000 }),
    });
    const some = fc.record({
      parents: fc.array(tx, { minLength: 1, maxLength: 4 }),
      earlier: fc.array(
        fc.record({ feeSats: fc.bigInt({ min: 110n, max: 9_000n }), weight: fc.integer({ min: 430, max: 2_000 }) }),
        { maxLength: 2 },
      ),
      rate: fc.bigInt({ min: 1_000n, max: 60_000n }),
      changeSats: fc.bigInt({ min: 300n, max: 300_000n }),
      coins: fc.array(fc.bigInt({ min: 300n, max: 500_000n }), { maxLength: 20 }),
    });
    fc.assert(
      fc.property(some, ({ parents, earlier, rate, changeSats, coins }) => {
        const plan = childOf({
          parentChange: { ...CHANGE, amountSats: changeSats },
          package: parents,
          earlierChildren: earlier,
          feeRateSatsPerKvb: rate,
          coins: coins.map((amount, number) => testCoin(number + 2, amount)),
        });
        if (plan.kind === 'refused') return;
        if (plan.added.length > 0) added++;
        const { transaction } = plan;
        const fee = BigInt(transaction.feeSats);
        const vsize = BigInt(Math.ceil(transaction.weight / 4));
        const parentVsize = parents.reduce((sum, { weight }) => sum + weight, 0) / 4;
        const parentFee = parents.reduce((sum, { feeSats }) => sum + feeSats, 0n);
        const together = (Number(fee + parentFee) * 1000) / (Number(vsize) + parentVsize);
        expect(together).toBeGreaterThanOrEqual(Number(rate) - 1e-6);
        expect(fee).toBeGreaterThanOrEqual(vsize);
        for (const child of earlier) {
          expect(fee).toBeGreaterThanOrEqual(child.feeSats + vsize);
          expect(fee * BigInt(Math.ceil(child.weight / 4))).toBeGreaterThan(child.feeSats * vsize);
        }
        expect(BigInt(transaction.outputs[0]?.amountSats ?? 0)).toBeGreaterThanOrEqual(294n);
        expect(transaction.inputs.some(({ txid }) => txid === CHANGE.txid)).toBe(true);
        const inputSats = transaction.inputs.reduce((sum, { amountSats }) => sum + BigInt(amountSats), 0n);
        expect(inputSats - BigInt(transaction.outputs[0]?.amountSats ?? 0)).toBe(fee);
      }),
      { numRuns: 500 },
    );
    expect(added).toBeGreaterThan(20);
  });
});
