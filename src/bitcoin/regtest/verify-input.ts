import * as ecc from '@bitcoinerlab/secp256k1';
import { crypto, initEccLib, script as scripts, Transaction } from 'bitcoinjs-lib';
import type { Coin } from './coin.js';

initEccLib(ecc);

/**
 * `unsupported`: the script is none of those below, so nothing was verified.
 */
export type InputVerdict = 'valid' | 'invalid' | 'unsupported';

/**
 * Verifies that input `index` is allowed to spend its coin. Verified in full are p2pkh, p2wpkh, p2sh-p2wpkh and the key
 * path of p2tr without annex. Not verified, and answered as `unsupported`: p2pk, bare multisig, any other p2sh, p2wsh,
 * the script path of p2tr, annexes, witness versions from 2 on, anything else.
 *
 * Signatures must also be what Core relays (strict DER of BIP66, low S of BIP146, a defined hash type, compressed keys in
 * witnesses), which is a little stricter than what a block may hold.
 *
 * @param coins what all inputs of the transaction spend, in order: taproot signs them all (BIP341)
 */
export function verifyInput(tx: Transaction, index: number, coins: readonly Coin[]): InputVerdict {
  const input = tx.ins[index];
  const coin = coins[index];
  if (!input || !coin || coins.length !== tx.ins.length) return 'invalid';
  const { script } = coin;
  if (isWitnessKeyHash(script)) {
    if (input.script.length !== 0) return 'invalid';
    return verdict(verifyWitnessKeyHash(tx, index, script, coin.amountSats));
  }
  if (isKeyHash(script)) return verdict(input.witness.length === 0 && verifyKeyHash(tx, index, script));
  if (isTaproot(script)) return verifyTaproot(tx, index, coins);
  if (isScriptHash(script)) {
    const redeemScript = input.script.subarray(1);
    const wrapped = input.script[0] === 22 && isWitnessKeyHash(redeemScript);
    if (!wrapped) return 'unsupported';
    if (!equal(crypto.hash160(redeemScript), script.subarray(2, 22))) return 'invalid';
    return verdict(verifyWitnessKeyHash(tx, index, redeemScript, coin.amountSats));
  }
  return 'unsupported';
}

const verdict = (valid: boolean): InputVerdict => (valid ? 'valid' : 'invalid');

const isWitnessKeyHash = (script: Uint8Array) => script.length === 22 && script[0] === 0x00 && script[1] === 20;
const isTaproot = (script: Uint8Array) => script.length === 34 && script[0] === 0x51 && script[1] === 32;
const isScriptHash = (script: Uint8Array) =>
  script.length === 23 && script[0] === 0xa9 && script[1] === 20 && script[22] === 0x87;
const isKeyHash = (script: Uint8Array) =>
  script.length === 25 &&
  script[0] === 0x76 &&
  script[1] === 0xa9 &&
  script[2] === 20 &&
  script[23] === 0x88 &&
  script[24] === 0xac;

const equal = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;

/** DUP HASH160 <20> EQUALVERIFY CHECKSIG: what a witness program of version 0 and 20 bytes stands for (BIP143). */
const keyHashScript = (keyHash: Uint8Array) => Uint8Array.from([0x76, 0xa9, 20, ...keyHash, 0x88, 0xac]);

function verifyWitnessKeyHash(tx: Transaction, index: number, program: Uint8Array, amountSats: bigint): boolean {
  const [signature, publicKey, ...rest] = tx.ins[index]?.witness ?? [];
  if (!signature || !publicKey || rest.length > 0 || publicKey.length !== 33) return false;
  const keyHash = program.subarray(2);
  if (!equal(crypto.hash160(publicKey), keyHash)) return false;
  return verifyEcdsa(publicKey, signature, (hashType) =>
    tx.hashForWitnessV0(index, keyHashScript(keyHash), amountSats, hashType),
  );
}

function verifyKeyHash(tx: Transaction, index: number, script: Uint8Array): boolean {
  const scriptSig = tx.ins[index]?.script ?? new Uint8Array();
  const signatureLength = scriptSig[0] ?? 0;
  const keyLength = scriptSig[1 + signatureLength] ?? 0;
  // Two direct pushes and nothing else: signatures and keys are far below the 76 bytes where pushes change their form.
  const isTwoPushes =
    signatureLength > 0 &&
    signatureLength < 76 &&
    (keyLength === 33 || keyLength === 65) &&
    scriptSig.length === 2 + signatureLength + keyLength;
  if (!isTwoPushes) return false;
  const signature = scriptSig.subarray(1, 1 + signatureLength);
  const publicKey = scriptSig.subarray(2 + signatureLength);
  if (!equal(crypto.hash160(publicKey), script.subarray(3, 23))) return false;
  return verifyEcdsa(publicKey, signature, (hashType) => tx.hashForSignature(index, script, hashType));
}

function verifyEcdsa(publicKey: Uint8Array, encoded: Uint8Array, sighash: (hashType: number) => Uint8Array): boolean {
  if (!scripts.isCanonicalScriptSignature(encoded) || !isPlainPublicKey(publicKey)) return false;
  try {
    const { signature, hashType } = scripts.signature.decode(encoded);
    return ecc.verify(sighash(hashType), publicKey, signature, true);
  } catch {
    // Numbers outside the group's order make the library throw; to us they are one more bad signature.
    return false;
  }
}

/** Hybrid keys (06, 07) are on the curve too, and not relayed. */
function isPlainPublicKey(publicKey: Uint8Array): boolean {
  const prefix = publicKey[0] ?? 0;
  return prefix >= 2 && prefix <= 4 && ecc.isPoint(publicKey);
}

/** BIP341: DEFAULT, ALL, NONE, SINGLE, and the last three with ANYONECANPAY. DEFAULT only by leaving the byte away. */
const TAPROOT_HASH_TYPES = [0x01, 0x02, 0x03, 0x81, 0x82, 0x83];

function verifyTaproot(tx: Transaction, index: number, coins: readonly Coin[]): InputVerdict {
  const input = tx.ins[index];
  const outputKey = coins[index]?.script.subarray(2);
  if (!input || !outputKey || input.script.length !== 0 || input.witness.length === 0) return 'invalid';
  // Two items and more are a script with its control block, or an annex.
  if (input.witness.length > 1) return 'unsupported';
  const encoded = input.witness[0] ?? new Uint8Array();
  const hashType = encoded.length === 65 ? (encoded[64] ?? 0) : Transaction.SIGHASH_DEFAULT;
  if (encoded.length !== 64 && !(encoded.length === 65 && TAPROOT_HASH_TYPES.includes(hashType))) return 'invalid';
  const isSingle = (hashType & 0x1f) === Transaction.SIGHASH_SINGLE;
  if (isSingle && index >= tx.outs.length) return 'invalid';
  if (!ecc.isXOnlyPoint(outputKey)) return 'invalid';
  const sighash = tx.hashForWitnessV1(
    index,
    coins.map((coin) => coin.script),
    coins.map((coin) => coin.amountSats),
    hashType,
  );
  try {
    return verdict(ecc.verifySchnorr(sighash, outputKey, encoded.subarray(0, 64)));
  } catch {
    // As above: out of range.
    return 'invalid';
  }
}
