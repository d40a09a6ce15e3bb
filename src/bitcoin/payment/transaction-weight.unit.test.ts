import { createHash } from 'node:crypto';
import * as ecc from '@bitcoinerlab/secp256k1';
import { BIP32Factory, type BIP32Interface } from 'bip32';
import { crypto, initEccLib, payments, Psbt, script as scripts, Transaction } from 'bitcoinjs-lib';
import { describe, expect, it } from 'vitest';
import type { ScriptKind } from '../descriptors/parse-descriptor.js';
import { shapeOf, transactionWeight, vbytesOf } from './transaction-weight.js';

initEccLib(ecc);
const master = BIP32Factory(ecc).fromSeed(Buffer.alloc(32, 7));

const KINDS = ['pkh', 'sh-wpkh', 'wpkh', 'tr'] as const;
const OUTPUTS = {
  p2pkh: `76a914${'11'.repeat(20)}88ac`,
  p2sh: `a914${'22'.repeat(20)}87`,
  p2wpkh: `0014${'33'.repeat(20)}`,
  p2wsh: `0020${'44'.repeat(32)}`,
  p2tr: `5120${'55'.repeat(32)}`,
  'a witness version to come': `5802${'66'.repeat(2)}`,
  'the longest data': `6a4c50${'77'.repeat(80)}`,
};

describe('weight before signing', () => {
  for (const kind of KINDS) {
    it.each([1, 2, 7])(`of %d inputs of ${kind} is that of the signed transaction, to the vbyte for each`, (count) => {
      const kinds = Array.from({ length: count }, () => kind);
      const { planned, signed, shorterBytes } = planAndSign(kinds, Object.values(OUTPUTS));
      // What is shorter than the longest signature is counted exactly, so the rest has no tolerance at all.
      const scale = kind === 'pkh' ? 4 : 1;
      expect(planned - scale * shorterBytes).toBe(signed.weight());
      expect(planned - signed.weight()).toBeLessThanOrEqual(4 * count);
    });
  }

  it.each([252, 253])('counts %d inputs', (count) => {
    const kinds = Array.from({ length: count }, (_, index) => KINDS[index % KINDS.length] ?? 'tr');
    const tx = unsigned(kinds, [OUTPUTS.p2tr]);
    kinds.forEach((kind, index) => fillIn(tx, kind, index));
    expect(transactionWeight(shapeOf(kinds, [OUTPUTS.p2tr]))).toBe(tx.weight());
  });

  it.each(Object.entries(OUTPUTS))('of an output of %s is what it adds', (_, script) => {
    const base = shapeOf(['tr'], [OUTPUTS.p2tr]);
    const more = shapeOf(['tr'], [OUTPUTS.p2tr, script]);
    const sizeOf = (scripts: readonly string[]): number => unsigned(['tr'], scripts).weight();
    expect(transactionWeight(more) - transactionWeight(base)).toBe(
      sizeOf([OUTPUTS.p2tr, script]) - sizeOf([OUTPUTS.p2tr]),
    );
  });

  it.each([252, 253, 500])('counts %d outputs', (count) => {
    const { planned, signed, shorterBytes } = planAndSign(
      ['wpkh'],
      Array.from({ length: count }, () => OUTPUTS.p2wpkh),
    );
    expect(planned - shorterBytes).toBe(signed.weight());
  });

  it('counts inputs with and without a witness in one transaction', () => {
    const kinds: ScriptKind[] = ['pkh', 'wpkh', 'pkh', 'tr', 'sh-wpkh', 'pkh'];
    const { planned, signed, shorterWeight } = planAndSign(kinds, [OUTPUTS.p2tr]);
    expect(planned - shorterWeight).toBe(signed.weight());
  });

  it('rounds virtual bytes up', () => {
    expect([399, 400, 401].map(vbytesOf)).toEqual([100, 100, 101]);
  });

  it('of one input and output of each kind is the figure that everybody knows', () => {
    const vbytes = (kind: ScriptKind, script: string): number => transactionWeight(shapeOf([kind], [script])) / 4;
    expect(vbytes('pkh', OUTPUTS.p2pkh)).toBe(192);
    expect(vbytes('sh-wpkh', OUTPUTS.p2sh)).toBe(133.5);
    expect(vbytes('wpkh', OUTPUTS.p2wpkh)).toBe(109.5);
    expect(vbytes('tr', OUTPUTS.p2tr)).toBe(111.25);
  });
});

const keys = new Map<number, BIP32Interface>();
function keyAt(index: number): BIP32Interface {
  const key = keys.get(index) ?? master.derive(index);
  keys.set(index, key);
  return key;
}

function unsigned(kinds: readonly ScriptKind[], paid: readonly string[]): Transaction {
  const tx = new Transaction();
  tx.version = 2;
  kinds.forEach((_, index) => tx.addInput(createHash('sha256').update(`coin ${index}`).digest(), index));
  for (const script of paid) tx.addOutput(Buffer.from(script, 'hex'), 1000n);
  return tx;
}

/** Puts in what is as long as the longest signature, and a key. */
function fillIn(tx: Transaction, kind: ScriptKind, index: number): void {
  const satisfaction = [Buffer.alloc(72), Buffer.alloc(33)];
  if (kind === 'pkh') tx.setInputScript(index, scripts.compile(satisfaction));
  else tx.setWitness(index, kind === 'tr' ? [Buffer.alloc(65)] : satisfaction);
  if (kind === 'sh-wpkh') tx.setInputScript(index, scripts.compile([Buffer.alloc(22)]));
}

/** Signed by the library, with what it made shorter than the longest signature. */
function planAndSign(kinds: readonly ScriptKind[], paid: readonly string[]) {
  const psbt = new Psbt();
  kinds.forEach((kind, index) => addInput(psbt, kind, index));
  for (const script of paid) psbt.addOutput({ script: Buffer.from(script, 'hex'), value: 1000n });
  kinds.forEach((kind, index) => {
    const key = keyAt(index);
    if (kind !== 'tr') return psbt.signInput(index, key);
    return psbt.signInput(index, key.tweak(crypto.taggedHash('TapTweak', key.publicKey.subarray(1, 33))));
  });
  psbt.finalizeAllInputs();
  const signed = psbt.extractTransaction(true);
  const shorter = signed.ins.map(({ witness, script }, index) => {
    const signature =
      kinds[index] === 'pkh' ? script.subarray(1, 1 + (script[0] ?? 0)) : (witness[0] ?? new Uint8Array());
    return (kinds[index] === 'tr' ? 65 : 72) - signature.length;
  });
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  expect(Math.min(...shorter)).toBeGreaterThanOrEqual(0);
  return {
    planned: transactionWeight(shapeOf(kinds, paid)),
    signed,
    shorterBytes: sum(shorter),
    shorterWeight: sum(shorter.map((bytes, index) => (kinds[index] === 'pkh' ? 4 * bytes : bytes))),
  };
}

function addInput(psbt: Psbt, kind: ScriptKind, index: number): void {
  const pubkey = keyAt(index).publicKey;
  const internalPubkey = pubkey.subarray(1, 33);
  const value = 1_000_000n;
  const input = { hash: createHash('sha256').update(`coin ${index}`).digest(), index };
  const nested = payments.p2wpkh({ pubkey });
  switch (kind) {
    case 'pkh': {
      const previous = new Transaction();
      previous.addInput(Buffer.alloc(32, index), index);
      previous.addOutput(scriptOf(payments.p2pkh({ pubkey })), value);
      psbt.addInput({ hash: previous.getId(), index: 0, nonWitnessUtxo: previous.toBuffer() });
      return;
    }
    case 'sh-wpkh':
      psbt.addInput({
        ...input,
        witnessUtxo: { script: scriptOf(payments.p2sh({ redeem: nested })), value },
        redeemScript: scriptOf(nested),
      });
      return;
    case 'wpkh':
      psbt.addInput({ ...input, witnessUtxo: { script: scriptOf(nested), value } });
      return;
    case 'tr':
      psbt.addInput({
        ...input,
        witnessUtxo: { script: scriptOf(payments.p2tr({ internalPubkey })), value },
        tapInternalKey: internalPubkey,
      });
  }
}

function scriptOf({ output }: { output?: Uint8Array | undefined }): Uint8Array {
  if (output === undefined) throw new Error('a payment of a key has a script');
  return output;
}
