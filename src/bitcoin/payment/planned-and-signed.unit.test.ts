import { Transaction } from 'bitcoinjs-lib';
import { describe, expect, it } from 'vitest';
import {
  createTestPayer,
  fundingTransaction,
  psbtOf,
  SCRIPT_KINDS,
  type TestPayer,
} from '../../../test/support/payment-plan.js';
import { seededRandom } from '../../../test/support/test-coins.js';
import { checkSigned, type SignedTransaction } from './check-signed.js';
import type { Coin } from './coin.js';
import type { NotPlanned, Planned, PlanningParameters } from './plan-parts.js';
import { planPayment } from './plan-payment.js';
import { planChild } from './plan-child.js';
import { planReplacement } from './plan-replacement.js';
import { redeemScriptAt } from './redeem-script.js';

const COINS = 12;
const RECIPIENTS = [
  { withdrawalId: 'a', script: `0014${'ab'.repeat(20)}`, amountSats: 150_001n },
  { withdrawalId: 'b', script: `5120${'cd'.repeat(32)}`, amountSats: 70_003n },
];

describe.each(SCRIPT_KINDS)('what is planned for a wallet of %s, once it is signed,', (kind) => {
  const payer = createTestPayer(kind);
  const amounts = Array.from({ length: COINS }, (_, index) => ({
    script: payer.script(0, index),
    amountSats: 40_000n + BigInt(index),
  }));
  const funding = fundingTransaction(amounts);
  const coins = amounts.map(({ script, amountSats }, index): Coin => {
    const derivation = { branch: 0, index } as const;
    const blockHash = '00'.repeat(32);
    return { txid: funding.getId(), vout: index, amountSats, script, kind, derivation, blockHash, confirmations: 6 };
  });
  const planning: PlanningParameters = {
    coins: coins.slice(0, 7),
    change: { script: payer.script(1, 5), index: 5, kind },
    feeRateSatsPerKvb: 3_000n,
    longTermFeeRateSatsPerKvb: 10_000n,
    maxFeeSats: null,
    maxInputs: 600,
    maxWeight: 400_000,
    tipHeight: 200,
    redeemScriptOf: ({ derivation: { branch, index } }) =>
      redeemScriptAt(branch === 0 ? payer.receive : payer.change, index),
    random: seededRandom(8),
  };

  it('has the txid that was known, and weighs what was reckoned: payment, replacement, and child', async () => {
    const payment = expectPlanned(planPayment({ ...planning, keep: [], recipients: RECIPIENTS }));
    const signed = await sign(payer, payment, [funding]);
    expectAsPlanned(payment, signed);

    const earlier = [{ transaction: payment.transaction, signed: [signed], descendantFeesSats: 0n }];
    const replacement = expectPlanned(
      planReplacement({
        ...planning,
        coins: coins.slice(7),
        feeRateSatsPerKvb: 130_000n,
        earlier,
        incrementalFeeRateSatsPerKvb: 1_000n,
        maxFeeRateSatsPerKvb: 500_000n,
        exactRate: false,
        untouchableChange: new Set(),
      }),
    );
    expect(replacement.added.length).toBeGreaterThan(0);
    const signedAgain = await sign(payer, replacement, [funding]);
    expectAsPlanned(replacement, signedAgain);
    expect(signed.inputs.every((outpoint) => signedAgain.inputs.includes(outpoint))).toBe(true);

    const [vout] = signed.changeVouts;
    if (vout === undefined) throw new Error('the payment has change');
    const parentChange: Coin = {
      txid: signed.txid,
      vout,
      amountSats: BigInt(payment.transaction.outputs[vout]?.amountSats ?? 0),
      script: payer.script(1, 5),
      kind,
      derivation: { branch: 1, index: 5 },
      blockHash: null,
      confirmations: 0,
    };
    const child = expectPlanned(
      planChild({
        ...planning,
        coins: coins.slice(7),
        change: { script: payer.script(1, 6), index: 6, kind },
        feeRateSatsPerKvb: 40_000n,
        parentChange,
        package: [signed],
        earlierChildren: [],
        minimumFeeRateSatsPerKvb: 1_000n,
        incrementalFeeRateSatsPerKvb: 1_000n,
      }),
    );
    const signedChild = await sign(payer, child, [funding, bytesOf(signed)]);
    expectAsPlanned(child, signedChild);
    const rate = Number(signed.feeSats + signedChild.feeSats) / ((signed.weight + signedChild.weight) / 4);
    expect(rate).toBeGreaterThanOrEqual(40);
    expect(rate).toBeLessThan(41);
  });
});

function expectPlanned(plan: Planned | NotPlanned): Planned {
  if (plan.kind === 'refused') throw new Error(plan.detail);
  return plan;
}

async function sign(payer: TestPayer, { transaction }: Planned, previous: Parameters<typeof psbtOf>[2]) {
  const checked = checkSigned(await payer.sign(psbtOf(payer, transaction, previous)), transaction);
  if (checked.kind !== 'complete') throw new Error(JSON.stringify(checked));
  return checked;
}

const bytesOf = ({ transaction }: SignedTransaction) => Transaction.fromHex(transaction);

/** At most a vbyte for each input, and never more than planned. */
function expectAsPlanned({ transaction }: Planned, signed: SignedTransaction): void {
  expect(signed.feeSats).toBe(BigInt(transaction.feeSats));
  expect(transaction.weight).toBeGreaterThanOrEqual(signed.weight);
  expect(transaction.weight - signed.weight).toBeLessThanOrEqual(4 * transaction.inputs.length);
  if (transaction.inputs.some(({ script }) => script.startsWith('76a9'))) expect(transaction.txid).toBeNull();
  else expect(transaction.txid).toBe(signed.txid);
}
