import { Psbt, Transaction } from 'bitcoinjs-lib';
import { describe, expect, it } from 'vitest';
import { checkSigned } from '../../src/bitcoin/payment/check-signed.js';
import { planPayment } from '../../src/bitcoin/payment/plan-payment.js';
import { redeemScriptAt } from '../../src/bitcoin/payment/redeem-script.js';
import { judgeInputs } from '../support/input-judge.js';
import { seededRandom } from '../support/test-coins.js';
import {
  createMixedPayer,
  createTestPayer,
  fundingTransaction,
  planOf,
  psbtOf,
  SCRIPT_KINDS,
  smallPlan,
} from '../support/payment-plan.js';

const coinsOf = (plan: ReturnType<typeof planOf>) =>
  plan.inputs.map(({ script, amountSats }) => ({ script, amountSats: BigInt(amountSats) }));

/** Bitcoin Core's own validation engine looks at what our signers signed and our checks let through. */
describe.each(SCRIPT_KINDS)('what is signed for %s', (kind) => {
  it('is good, in every input, and our check says so of the same ones', async () => {
    const payer = createTestPayer(kind);
    const requests = [];
    for (const inputs of [1, 2, 7, 40]) {
      const coins = Array.from({ length: inputs }, (_, index) => {
        return { script: payer.script(0, index), amountSats: 10_000n + BigInt(index) };
      });
      const funding = fundingTransaction(coins, inputs);
      const plan = planOf(payer, {
        inputs: coins.map(({ amountSats }, index) => ({ txid: funding.getId(), vout: index, amountSats, index })),
        outputs: [{ script: `0014${'ab'.repeat(20)}`, amountSats: 5_000n }],
        locktime: 100 + inputs,
      });
      const checked = checkSigned(await payer.sign(psbtOf(payer, plan, [funding])), plan);
      if (checked.kind !== 'complete') throw new Error(JSON.stringify(checked));
      requests.push({ transaction: checked.transaction, coins: coinsOf(plan) });
    }
    const verdicts = await judgeInputs(requests);
    expect(verdicts.map((inputs) => inputs.length)).toEqual([1, 2, 7, 40]);
    expect(new Set(verdicts.flat())).toEqual(new Set(['good']));
  });

  it('is bad to both when a byte of its signature is another', async () => {
    const payer = createTestPayer(kind);
    const { plan, previous } = smallPlan(payer);
    const psbt = Psbt.fromBuffer(Buffer.from(await payer.sign(psbtOf(payer, plan, previous))));
    const tx = Transaction.fromBuffer(psbt.finalizeAllInputs().extractTransaction(true).toBuffer());
    const target = tx.ins[1]?.witness[0] ?? tx.ins[1]?.script;
    if (target) target[20] = (target[20] ?? 0) ^ 1;
    const [verdicts] = await judgeInputs([{ transaction: tx.toHex(), coins: coinsOf(plan) }]);
    expect(verdicts?.[0]).toBe('good');
    expect(verdicts?.[1]).not.toBe('good');
    expect(checkSigned(tx.toHex(), plan)).toMatchObject({ kind: 'mismatch', mismatches: [{ field: 'signature' }] });
  });
});

describe('a payment out of coins of two kinds', () => {
  it.each([
    ['pkh', 'tr'],
    ['tr', 'pkh'],
    ['sh-wpkh', 'tr'],
    ['wpkh', 'pkh'],
    ['pkh', 'sh-wpkh'],
  ] as const)('%s and %s is good in every input', async (receive, change) => {
    const payer = createMixedPayer(receive, change);
    const coins = ([0, 1, 0, 1] as const).map((branch, index) => {
      return { script: payer.script(branch, index), amountSats: 20_000n, branch, index };
    });
    const funding = fundingTransaction(coins);
    const plan = planOf(payer, {
      inputs: coins.map((coin, vout) => ({ ...coin, txid: funding.getId(), vout })),
      outputs: [{ script: `0014${'ab'.repeat(20)}`, amountSats: 30_000n }],
      change: { index: 7, amountSats: 40_000n },
    });
    const checked = checkSigned(await payer.sign(psbtOf(payer, plan, [funding])), plan);
    if (checked.kind !== 'complete') throw new Error(JSON.stringify(checked));
    expect(await judgeInputs([{ transaction: checked.transaction, coins: coinsOf(plan) }])).toEqual([
      ['good', 'good', 'good', 'good'],
    ]);
  });
});

describe.each(SCRIPT_KINDS)('what the planner plans for %s', (kind) => {
  it('can be signed within the weight and with the txid that it said, and is good', async () => {
    const payer = createTestPayer(kind);
    const requests = [];
    for (const seed of [1, 2, 3, 4, 5, 6]) {
      const random = seededRandom(seed);
      const funded = Array.from({ length: 12 }, (_, index) => {
        return { script: payer.script(0, index), amountSats: BigInt(Math.floor(20_000 + random() * 80_000)) };
      });
      const funding = fundingTransaction(funded, seed);
      const coins = funded.map(({ script, amountSats }, index) => {
        const derivation = { branch: 0 as const, index };
        const place = { txid: funding.getId(), vout: index, blockHash: 'ee'.repeat(32), confirmations: 3 };
        return { ...place, amountSats, script, kind, derivation };
      });
      const planned = planPayment({
        coins,
        keep: [],
        recipients: Array.from({ length: seed }, (_, n) => {
          return { withdrawalId: `w${n}`, script: `5120${'cd'.repeat(32)}`, amountSats: 30_000n };
        }),
        change: { script: payer.script(1, 4), index: 4, kind },
        feeRateSatsPerKvb: 3_000n,
        longTermFeeRateSatsPerKvb: 10_000n,
        maxFeeSats: null,
        maxInputs: 100,
        maxWeight: 400_000,
        tipHeight: 800_000,
        redeemScriptOf: ({ derivation }) => redeemScriptAt(payer.receive, derivation.index),
        random,
      });
      if (planned.kind !== 'planned') throw new Error(planned.detail);
      const { transaction } = planned;
      const checked = checkSigned(await payer.sign(psbtOf(payer, transaction, [funding])), transaction);
      if (checked.kind !== 'complete') throw new Error(JSON.stringify(checked));
      expect(checked.feeSats).toBe(BigInt(transaction.feeSats));
      expect(transaction.txid ?? checked.txid).toBe(checked.txid);
      // Reckoned with the longest signatures there are: up to two bytes of each are not needed, which weigh four times in a scriptSig.
      expect(transaction.weight - checked.weight).toBeLessThanOrEqual(
        transaction.inputs.length * (kind === 'pkh' ? 12 : 3),
      );
      requests.push({ transaction: checked.transaction, coins: coinsOf(transaction) });
    }
    expect(new Set((await judgeInputs(requests)).flat())).toEqual(new Set(['good']));
  });
});
