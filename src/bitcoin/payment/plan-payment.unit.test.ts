import { Transaction } from 'bitcoinjs-lib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SCRIPT_OF_KIND, seededRandom, testCoin } from '../../../test/support/test-coins.js';
import { plannedTransactionSchema, type PlannedTransaction } from '../../domain/events/payout-events.js';
import { parseDescriptor, type ScriptKind } from '../descriptors/parse-descriptor.js';
import { deriveScript } from '../descriptors/derive-script.js';
import { dustLimitSats } from './dust.js';
import type { Planned } from './plan-parts.js';
import { planPayment, type PlanPaymentParameters } from './plan-payment.js';
import { redeemScriptAt } from './redeem-script.js';
import { inputWeight, shapeOf, transactionWeight, vbytesOf } from './transaction-weight.js';
import { kindOfScript } from './script-kind.js';

const KINDS: readonly ScriptKind[] = ['pkh', 'sh-wpkh', 'wpkh', 'tr'];
/** Scripts of every length that is paid; what they are the hashes of does not matter. */
const SCRIPTS = [...Object.values(SCRIPT_OF_KIND), `0020${'01'.repeat(32)}`, `5210${'02'.repeat(16)}`, '51024e73'];

function parametersOf(changes: Partial<PlanPaymentParameters>): PlanPaymentParameters {
  return {
    coins: [testCoin(1, 1_000_000n)],
    keep: [],
    recipients: [{ withdrawalId: 'w-1', script: SCRIPT_OF_KIND.wpkh, amountSats: 100_000n }],
    change: { script: SCRIPT_OF_KIND.wpkh, index: 9, kind: 'wpkh' },
    feeRateSatsPerKvb: 10_000n,
    longTermFeeRateSatsPerKvb: 10_000n,
    maxFeeSats: null,
    maxInputs: 600,
    maxWeight: 400_000,
    tipHeight: 800_000,
    redeemScriptOf: () => {
      throw new Error('asked for a coin that has no redeem script');
    },
    random: seededRandom(1),
    ...changes,
  };
}

function planned(parameters: PlanPaymentParameters): Planned {
  const plan = planPayment(parameters);
  if (plan.kind === 'refused') throw new Error(plan.detail);
  return plan;
}

const sumOf = (parts: readonly { amountSats: string | bigint }[]): bigint =>
  parts.reduce((sum, { amountSats }) => sum + BigInt(amountSats), 0n);

/** Everything that is true of every plan, from its own words alone. */
function checkTransaction(tx: PlannedTransaction, parameters: PlanPaymentParameters): void {
  plannedTransactionSchema.parse(tx);
  const fee = BigInt(tx.feeSats);
  expect(sumOf(tx.inputs)).toBe(sumOf(tx.outputs) + fee);
  expect(new Set(tx.inputs.map(({ txid, vout }) => `${txid}:${vout}`)).size).toBe(tx.inputs.length);
  for (const { script, amountSats } of tx.outputs) {
    expect(BigInt(amountSats)).toBeGreaterThanOrEqual(dustLimitSats(Buffer.from(script, 'hex')));
  }
  // Nothing is lost in rounding: every payment is there, to the satoshi, as an output of its own.
  const payments = tx.outputs.filter(({ withdrawalId }) => withdrawalId !== null);
  expect(
    payments.map(({ withdrawalId, script, amountSats }) => `${withdrawalId} ${script} ${amountSats}`).sort(),
  ).toEqual(
    parameters.recipients
      .map(({ withdrawalId, script, amountSats }) => `${withdrawalId} ${script} ${amountSats}`)
      .sort(),
  );
  const change = tx.outputs.filter(({ changeIndex }) => changeIndex !== null);
  expect(tx.outputs.length).toBe(payments.length + change.length);
  expect(change.length).toBeLessThanOrEqual(1);

  const kinds = tx.inputs.map(({ script }) => kindOfScript(Buffer.from(script, 'hex')));
  expect(tx.weight).toBe(
    transactionWeight(
      shapeOf(
        kinds,
        tx.outputs.map(({ script }) => script),
      ),
    ),
  );
  const due = (weight: number): bigint => (parameters.feeRateSatsPerKvb * BigInt(vbytesOf(weight)) + 999n) / 1000n;
  const spendFee = (inputWeight(parameters.change.kind) * Number(parameters.longTermFeeRateSatsPerKvb)) / 4000;
  if (change[0]) {
    // With change the rate is exact, and it is worth more than it costs to spend.
    expect(fee).toBe(due(tx.weight));
    expect(Number(change[0].amountSats)).toBeGreaterThan(spendFee);
    expect(change[0]).toMatchObject({ script: parameters.change.script, changeIndex: parameters.change.index });
    return;
  }
  // Without, what is left over is less than a change would have had to be.
  expect(fee).toBeGreaterThanOrEqual(due(tx.weight));
  const scripts = [...tx.outputs.map(({ script }) => script), parameters.change.script];
  const left = sumOf(tx.inputs) - sumOf(tx.outputs) - due(transactionWeight(shapeOf(kinds, scripts)));
  const dust = dustLimitSats(Buffer.from(parameters.change.script, 'hex'));
  expect(left < dust || Number(left) <= spendFee).toBe(true);
}

const someWallet = fc.record({
  seed: fc.integer(),
  size: fc.integer({ min: 1, max: 3_000 }),
  kinds: fc.subarray(
    KINDS.filter((kind) => kind !== 'sh-wpkh'),
    { minLength: 1 },
  ),
  changeKind: fc.constantFrom(...KINDS),
  payments: fc.array(
    fc.record({ script: fc.constantFrom(...SCRIPTS), amountSats: fc.bigInt({ min: 546n, max: 5_000_000n }) }),
    {
      minLength: 1,
      maxLength: 300,
    },
  ),
  feeRateSatsPerKvb: fc.bigInt({ min: 1_000n, max: 500_000n }),
  longTermFeeRateSatsPerKvb: fc.bigInt({ min: 1_000n, max: 100_000n }),
  maxInputs: fc.integer({ min: 10, max: 600 }),
  maxWeight: fc.integer({ min: 100_000, max: 400_000 }),
});

describe('a planned payment', () => {
  it('pays exactly, at the rate asked for, with no dust, no coin twice, and change only where it pays', () => {
    const seen = { change: 0, exact: 0, refused: 0 };
    fc.assert(
      fc.property(someWallet, ({ seed, size, kinds, changeKind, payments, ...bounds }) => {
        const random = seededRandom(seed);
        const coins = Array.from({ length: size }, (_, number) =>
          testCoin(number, BigInt(Math.floor(300 * 10 ** (5 * random()))), kinds[number % kinds.length] ?? 'wpkh'),
        );
        const recipients = payments.map((payment, number) => ({ ...payment, withdrawalId: `w-${number}` }));
        const change = { script: SCRIPT_OF_KIND[changeKind], index: 3, kind: changeKind };
        const parameters = parametersOf({ ...bounds, coins, recipients, change, random });
        const plan = planPayment(parameters);
        if (plan.kind === 'refused') {
          seen.refused++;
          expect(plan.reason).toBe('wallet-too-low');
          return;
        }
        seen[plan.changeVout === null ? 'exact' : 'change']++;
        checkTransaction(plan.transaction, parameters);
        expect(plan.transaction.inputs.length).toBeLessThanOrEqual(bounds.maxInputs);
        expect(plan.transaction.weight).toBeLessThanOrEqual(bounds.maxWeight);
        if (plan.changeVout !== null) {
          expect(plan.transaction.outputs[plan.changeVout]?.changeIndex).toBe(3);
        }
        expect(plan.added.map(({ txid }) => txid).sort()).toEqual(
          plan.transaction.inputs.map(({ txid }) => txid).sort(),
        );
      }),
      { numRuns: 100 },
    );
    expect(Math.min(...Object.values(seen))).toBeGreaterThan(5);
  });

  it('keeps what an earlier one was prepared with, needed or not, and adds what lacks', () => {
    const keep = [testCoin(1, 50_000n), testCoin(2, 60_000n)];
    const coins = [testCoin(3, 70_000n)];
    const parameters = parametersOf({ keep, coins });
    const few = planned({
      ...parameters,
      recipients: [{ withdrawalId: 'w', script: SCRIPT_OF_KIND.tr, amountSats: 1_000n }],
    });
    expect(few).toMatchObject({ added: [], by: 'kept' });
    expect(few.transaction.inputs).toHaveLength(2);
    const more = planned({
      ...parameters,
      recipients: [{ withdrawalId: 'w', script: SCRIPT_OF_KIND.tr, amountSats: 150_000n }],
    });
    expect(more.added).toEqual(coins);
    checkTransaction(more.transaction, {
      ...parameters,
      recipients: [{ withdrawalId: 'w', script: SCRIPT_OF_KIND.tr, amountSats: 150_000n }],
    });
  });

  it('keeps two withdrawals to one address apart', () => {
    const recipient = { script: SCRIPT_OF_KIND.pkh, amountSats: 10_000n };
    const recipients = [
      { ...recipient, withdrawalId: 'a' },
      { ...recipient, withdrawalId: 'b' },
    ];
    const parameters = parametersOf({ recipients });
    checkTransaction(planned(parameters).transaction, parameters);
  });

  it('is refused where the wallet is too low, and where the fee is above its bound', () => {
    expect(planPayment(parametersOf({ coins: [testCoin(1, 100_000n)] }))).toMatchObject({
      kind: 'refused',
      reason: 'wallet-too-low',
    });
    const fee = BigInt(planned(parametersOf({})).transaction.feeSats);
    expect(planPayment(parametersOf({ maxFeeSats: fee - 1n }))).toMatchObject({ reason: 'fee-above-bound' });
    expect(planPayment(parametersOf({ maxFeeSats: fee }))).toMatchObject({ kind: 'planned' });
  });

  it.each([
    [293n, null],
    [294n, '294'],
  ])('makes change of %d satoshis only where it is not dust, however cheap it will be to spend', (left, amountSats) => {
    // 141 vbytes with change, at 10 sat/vB.
    const coins = [testCoin(1, 100_000n + 1_410n + left)];
    const { transaction } = planned(parametersOf({ coins, longTermFeeRateSatsPerKvb: 1_000n }));
    expect(transaction.outputs.find(({ changeIndex }) => changeIndex !== null)?.amountSats ?? null).toBe(amountSats);
  });

  it.each([
    [680n, null],
    [681n, '681'],
  ])('makes change of %d satoshis only where it is worth more than it will cost to spend', (left, amountSats) => {
    // 68 vbytes for its input, at 10 sat/vB in the long term.
    const coins = [testCoin(1, 100_000n + 1_410n + left)];
    const { transaction } = planned(parametersOf({ coins }));
    expect(transaction.outputs.find(({ changeIndex }) => changeIndex !== null)?.amountSats ?? null).toBe(amountSats);
  });

  it('never makes dust: such a payment is a bug of the caller', () => {
    const recipients = [{ withdrawalId: 'w', script: SCRIPT_OF_KIND.wpkh, amountSats: 293n }];
    expect(() => planPayment(parametersOf({ recipients }))).toThrow(/dust/);
  });

  it('can be replaced, and says when it may be mined', () => {
    const { transaction } = planned(parametersOf({}));
    expect(transaction.version).toBe(2);
    expect(transaction.inputs.map(({ sequence }) => sequence)).toEqual([0xfffffffd]);
    expect(planned(parametersOf({ tipHeight: null })).transaction.locktime).toBe(0);
    const random = seededRandom(3);
    const locktimes = Array.from({ length: 2_000 }, () => planned(parametersOf({ random })).transaction.locktime);
    const lower = locktimes.filter((locktime) => locktime < 800_000);
    expect(Math.max(...locktimes)).toBe(800_000);
    expect(Math.min(...locktimes)).toBeGreaterThan(800_000 - 100);
    expect(lower.length / locktimes.length).toBeCloseTo(0.1, 1);
    expect(
      Math.min(
        ...Array.from({ length: 200 }, () => planned(parametersOf({ random, tipHeight: 5 })).transaction.locktime),
      ),
    ).toBe(0);
  });

  it('puts the change anywhere, and inputs in any order', () => {
    const random = seededRandom(4);
    const coins = Array.from({ length: 4 }, (_, number) => testCoin(number, 40_000n));
    const recipients = [1, 2, 3].map((number) => ({
      withdrawalId: `w-${number}`,
      script: SCRIPT_OF_KIND.tr,
      amountSats: 45_000n,
    }));
    const plans = Array.from({ length: 200 }, () => planned(parametersOf({ coins, recipients, random })));
    expect(new Set(plans.map(({ changeVout }) => changeVout))).toEqual(new Set([0, 1, 2, 3]));
    expect(new Set(plans.map(({ transaction }) => transaction.inputs.map(({ txid }) => txid).join())).size).toBe(24);
  });

  describe('knows its txid before it is signed', () => {
    it.each(['wpkh', 'tr'] as const)('with inputs of %s', (kind) => {
      const { transaction } = planned(parametersOf({ coins: [testCoin(1, 1_000_000n, kind)] }));
      expect(transaction.txid).toBe(withScripts(transaction, []).getId());
    });

    it('with inputs of sh-wpkh, whose scriptSig is known', () => {
      const key =
        'tpubDDYkZojQFQjht8Tm4jsS3iuEmKjTiEGjG6KnuFNKKJb5A6ZUCUZKdvLdSDWofKi4ToRCwb9poe1XdqfUnP4jaJjCB2Zwv11ZLgSbnZSNecE';
      const descriptor = parseDescriptor(`sh(wpkh(${key}/0/*))`, 'regtest');
      if ('invalid' in descriptor) throw new Error(descriptor.invalid);
      const script = Buffer.from(deriveScript(descriptor.receive, 4)).toString('hex');
      const coins = [{ ...testCoin(4, 1_000_000n, 'sh-wpkh'), script }];
      const redeemScript = redeemScriptAt(descriptor.receive, 4);
      const { transaction } = planned(parametersOf({ coins, redeemScriptOf: () => redeemScript }));
      expect(transaction.txid).toBe(withScripts(transaction, [`16${redeemScript}`]).getId());
      expect(() => planPayment(parametersOf({ coins, redeemScriptOf: () => `0014${'00'.repeat(20)}` }))).toThrow(
        /redeem script/,
      );
    });

    it('but not with an input whose signature is part of it', () => {
      const coins = [testCoin(1, 60_000n, 'pkh'), testCoin(2, 60_000n, 'wpkh')];
      expect(planned(parametersOf({ coins })).transaction.txid).toBeNull();
    });
  });
});

/** The transaction as the library has it, with these scriptSigs. */
function withScripts(planned: PlannedTransaction, scriptSigs: readonly string[]): Transaction {
  const tx = new Transaction();
  tx.version = planned.version;
  tx.locktime = planned.locktime;
  planned.inputs.forEach(({ txid, vout, sequence }, index) =>
    tx.addInput(Buffer.from(txid, 'hex').reverse(), vout, sequence, Buffer.from(scriptSigs[index] ?? '', 'hex')),
  );
  for (const { script, amountSats } of planned.outputs) tx.addOutput(Buffer.from(script, 'hex'), BigInt(amountSats));
  return tx;
}
