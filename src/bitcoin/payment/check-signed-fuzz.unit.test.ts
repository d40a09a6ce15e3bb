import fc from 'fast-check';
import { Transaction } from 'bitcoinjs-lib';
import { beforeAll, describe, expect, it } from 'vitest';
import { createTestPayer, psbtOf, SCRIPT_KINDS, smallPlan } from '../../../test/support/payment-plan.js';
import { rawOf } from '../../../test/support/psbt-forgery.js';
import { verifyInput } from '../regtest/verify-input.js';
import { checkSigned } from './check-signed.js';
import { unsignedTransaction } from './unsigned-transaction.js';

type Edit =
  | { kind: 'flip'; at: number; bit: number }
  | { kind: 'set'; at: number; byte: number }
  | { kind: 'cut'; at: number; length: number }
  | { kind: 'insert'; at: number; bytes: Uint8Array }
  | { kind: 'copy'; from: number; to: number; length: number };

const at = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
const byte = fc.integer({ min: 0, max: 255 });
const edits = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('flip' as const), at, bit: fc.integer({ min: 0, max: 7 }) }) },
  fc.record({ kind: fc.constant('set' as const), at, byte }),
  fc.record({ kind: fc.constant('cut' as const), at, length: fc.integer({ min: 1, max: 40 }) }),
  fc.record({ kind: fc.constant('insert' as const), at, bytes: fc.uint8Array({ minLength: 1, maxLength: 40 }) }),
  fc.record({ kind: fc.constant('copy' as const), from: at, to: at, length: fc.integer({ min: 1, max: 110 }) }),
);

function apply(bytes: Buffer, edit: Edit): Buffer {
  const place = (share: number): number => Math.floor(share * bytes.length);
  const changed = Buffer.from(bytes);
  switch (edit.kind) {
    case 'flip':
      changed[place(edit.at)] = (changed[place(edit.at)] ?? 0) ^ (1 << edit.bit);
      return changed;
    case 'set':
      changed[place(edit.at)] = edit.byte;
      return changed;
    case 'cut':
      return Buffer.concat([bytes.subarray(0, place(edit.at)), bytes.subarray(place(edit.at) + edit.length)]);
    case 'insert':
      return Buffer.concat([bytes.subarray(0, place(edit.at)), edit.bytes, bytes.subarray(place(edit.at))]);
    case 'copy':
      bytes.copy(changed, place(edit.to), place(edit.from), place(edit.from) + edit.length);
      return changed;
  }
}

describe.each(SCRIPT_KINDS)('bytes that were changed on the way, of %s', (kind) => {
  const payer = createTestPayer(kind);
  const { plan, previous } = smallPlan(payer);
  const coins = plan.inputs.map(({ script, amountSats }) => {
    return { script: Buffer.from(script, 'hex'), amountSats: BigInt(amountSats), height: 1, coinbase: false };
  });
  const asked = unsignedTransaction(plan).toHex();
  let psbt: Buffer;
  let raw: Buffer;
  beforeAll(async () => {
    const signed = await payer.sign(psbtOf(payer, plan, previous));
    psbt = Buffer.from(signed);
    raw = Buffer.from(rawOf(signed).toBuffer());
  });

  it('are taken only where the transaction is the one that was asked for, and every input is valid', () => {
    let taken = 0;
    fc.assert(
      fc.property(fc.boolean(), fc.array(edits, { minLength: 1, maxLength: 3 }), (isRaw, changes) => {
        const checked = checkSigned(changes.reduce(apply, isRaw ? raw : psbt), plan);
        if (checked.kind !== 'complete') return;
        taken += 1;
        const tx = Transaction.fromHex(checked.transaction);
        expect(plan.inputs.map((_, index) => verifyInput(tx, index, coins))).toEqual(['valid', 'valid']);
        expect(checked).toMatchObject({ txid: tx.getId(), feeSats: 405_001n });
        expect(tx.weight()).toBeLessThanOrEqual(plan.weight);
        for (const input of tx.ins) {
          input.script = new Uint8Array();
          input.witness = [];
        }
        expect(tx.toHex()).toBe(asked);
      }),
      { numRuns: kind === 'tr' ? 400 : 800 },
    );
    // Most of a PSBT is what we know better: changes there must not matter. Where nothing is taken, nothing was tested.
    expect(taken).toBeGreaterThan(10);
  });
});
