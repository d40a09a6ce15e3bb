import * as ecc from '@bitcoinerlab/secp256k1';
import { crypto, initEccLib, Psbt, script as scripts, type Signer, type Transaction } from 'bitcoinjs-lib';
import type { BIP32Interface } from 'bip32';
import type { TestPayer } from './payment-plan.js';

initEccLib(ecc);

/** Who signs what a signer of ours never would: by bitcoinjs-lib, with any hash type. */
export function signerOf(payer: TestPayer, index: number): Signer {
  const key: BIP32Interface = payer.keyAt(0, index);
  return payer.receive.kind === 'tr' ? key.tweak(crypto.taggedHash('TapTweak', key.publicKey.subarray(1, 33))) : key;
}

export function signWith(payer: TestPayer, unsigned: Uint8Array, hashType: number): Psbt {
  const psbt = Psbt.fromBuffer(Buffer.from(unsigned));
  for (const [index, input] of psbt.data.inputs.entries()) {
    input.sighashType = hashType;
    psbt.signInput(index, signerOf(payer, index), [hashType]);
  }
  return psbt;
}

export function rawOf(signed: Uint8Array): Transaction {
  return Psbt.fromBuffer(Buffer.from(signed)).finalizeAllInputs().extractTransaction(true);
}

const ORDER = BigInt('0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141');

/** The other signature of the same key and message (BIP146), which anybody can make of the first. */
export function withHighS(encoded: Uint8Array): Uint8Array {
  const { signature, hashType } = scripts.signature.decode(encoded);
  const s = ORDER - BigInt(`0x${Buffer.from(signature.subarray(32)).toString('hex')}`);
  const high = Buffer.concat([signature.subarray(0, 32), Buffer.from(s.toString(16).padStart(64, '0'), 'hex')]);
  return scripts.signature.encode(high, hashType);
}
