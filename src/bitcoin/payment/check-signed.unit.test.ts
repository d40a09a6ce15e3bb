import { Psbt, Transaction } from 'bitcoinjs-lib';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  createTestPayer,
  psbtOf,
  SCRIPT_KINDS,
  smallPlan,
  type TestPayer,
} from '../../../test/support/payment-plan.js';
import type { PlannedTransaction } from '../../domain/events/payout-events.js';
import { verifyInput } from '../regtest/verify-input.js';
import { checkSigned, type CheckedSigned } from './check-signed.js';

describe.each(SCRIPT_KINDS)('a signed payment of %s', (kind) => {
  let payer: TestPayer;
  let plan: PlannedTransaction;
  let unsigned: Uint8Array;
  let signed: Uint8Array;
  let complete: Extract<CheckedSigned, { kind: 'complete' }>;

  beforeAll(async () => {
    payer = createTestPayer(kind);
    const small = smallPlan(payer);
    plan = small.plan;
    unsigned = psbtOf(payer, plan, small.previous);
    signed = await payer.sign(unsigned);
    const checked = checkSigned(signed, plan);
    if (checked.kind !== 'complete') throw new Error(JSON.stringify(checked));
    complete = checked;
  });

  it('is taken, and is valid to the verifier of the built-in chain', () => {
    const tx = Transaction.fromHex(complete.transaction);
    const coins = plan.inputs.map(({ script, amountSats }) => {
      return { script: Buffer.from(script, 'hex'), amountSats: BigInt(amountSats), height: 1, coinbase: false };
    });
    expect(plan.inputs.map((_, index) => verifyInput(tx, index, coins))).toEqual(['valid', 'valid']);
    expect(complete).toMatchObject({ txid: tx.getId(), feeSats: 405_001n, changeVouts: [2], weight: tx.weight() });
    expect(complete.inputs).toEqual(plan.inputs.map(({ txid, vout }) => `${txid}:${vout}`));
    expect(complete.weight).toBeLessThanOrEqual(plan.weight);
  });

  it('is the same in every form that it may come back in', () => {
    const psbt = Psbt.fromBuffer(Buffer.from(signed));
    const finalized = psbt.clone().finalizeAllInputs();
    const raw = finalized.extractTransaction(true);
    const base64 = psbt.toBase64();
    const forms = [
      base64,
      `${base64.slice(0, 60)}\n${base64.slice(60)}\n`,
      Buffer.from(base64, 'latin1'),
      psbt.toHex(),
      finalized.toBuffer(),
      finalized.toBase64(),
      raw.toBuffer(),
      raw.toHex(),
    ];
    for (const form of forms) expect(checkSigned(form, plan)).toEqual(complete);
  });
});
