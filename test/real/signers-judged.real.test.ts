import { Psbt, Transaction } from 'bitcoinjs-lib';
import { describe, expect, it } from 'vitest';
import { checkSigned } from '../../src/bitcoin/payment/check-signed.js';
import { judgeInputs } from '../support/input-judge.js';
import {
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
