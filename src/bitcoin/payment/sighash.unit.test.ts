import fc from 'fast-check';
import { Transaction } from 'bitcoinjs-lib';
import { hash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { SIGHASH_ALL, SIGHASH_DEFAULT, sighashesOf } from './sighash.js';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const again = (once: Uint8Array): string => hash('sha256', once, 'hex');

const u32 = fc.integer({ min: 0, max: 0xffffffff });
const sats = fc.bigInt({ min: 0n, max: 2_100_000_000_000_000n });
/** Lengths around the steps of the variable-length integer, too. */
const script = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.constantFrom(252, 253, 254, 65_535, 65_536).map((length) => Buffer.alloc(length, 7)),
);
const parts = fc.record({
  version: fc.integer({ min: 1, max: 0x7fffffff }),
  locktime: u32,
  inputs: fc.array(
    fc.record({ txid: fc.uint8Array({ minLength: 32, maxLength: 32 }), vout: u32, sequence: u32, script, sats }),
    {
      minLength: 1,
      maxLength: 5,
    },
  ),
  outputs: fc.array(fc.record({ script, sats }), { minLength: 1, maxLength: 5 }),
});

describe('what signatures cover', () => {
  it('is what the library says, for every input of any transaction', () => {
    fc.assert(
      fc.property(parts, ({ version, locktime, inputs, outputs }) => {
        const tx = new Transaction();
        tx.version = version;
        tx.locktime = locktime;
        for (const { txid, vout, sequence } of inputs) tx.addInput(txid, vout, sequence);
        for (const output of outputs) tx.addOutput(output.script, output.sats);
        const coins = inputs.map(({ script: own, sats: amountSats }) => ({ script: own, amountSats }));
        const ours = sighashesOf(tx, coins);
        const scripts = coins.map((coin) => coin.script);
        const amounts = coins.map(({ amountSats }) => amountSats);
        for (const [index, coin] of coins.entries()) {
          const code = Buffer.from(`76a914${'ab'.repeat(20)}88ac`, 'hex');
          expect(again(ours.legacyOnce(index, code))).toBe(hex(tx.hashForSignature(index, code, SIGHASH_ALL)));
          expect(again(ours.witnessV0Once(index, code, coin.amountSats))).toBe(
            hex(tx.hashForWitnessV0(index, code, coin.amountSats, SIGHASH_ALL)),
          );
          for (const hashType of [SIGHASH_DEFAULT, SIGHASH_ALL] as const) {
            expect(hex(ours.taproot(index, hashType))).toBe(
              hex(tx.hashForWitnessV1(index, scripts, amounts, hashType)),
            );
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  it('is what BIP143 says of its native P2WPKH', () => {
    const tx = Transaction.fromHex(
      '0100000002fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f0000000000eeffffff' +
        'ef51e1b804cc89d182d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a0100000000ffffffff' +
        '02202cb206000000001976a9148280b37df378db99f66f85c95a783a76ac7a6d5988ac' +
        '9093510d000000001976a9143bde42dbee7e4dbe6a21b2d50ce2f0167faa815988ac11000000',
    );
    const keyHash = '1d0f172a0ecb48aee1be1f2687d2963ae33f71a1';
    const coins = [
      { script: Buffer.alloc(0), amountSats: 625_000_000n },
      { script: Buffer.from(`0014${keyHash}`, 'hex'), amountSats: 600_000_000n },
    ];
    const once = sighashesOf(tx, coins).witnessV0Once(1, Buffer.from(`76a914${keyHash}88ac`, 'hex'), 600_000_000n);
    expect(again(once)).toBe('c37af31116d1b27caf68aae9e3ac82f1477929014d5b917657d0eb49478cb670');
  });
});
