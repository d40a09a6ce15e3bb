import { invariant } from '../../platform/assert.js';
import type { ScriptKind } from '../descriptors/parse-descriptor.js';

/**
 * Weight before there are signatures (BIP141: 4 for each byte outside of the witness, 1 inside). A signature is reckoned as the
 * longest that is relayed, so that what is signed in the end weighs as much or a little less:
 *
 * - ECDSA: 71 bytes of DER (R in 33 bytes, low S in 32, BIP62 and `SCRIPT_VERIFY_LOW_S`) and the byte of the sighash type: 72.
 *   A signer that grinds for a low R (Bitcoin Core) makes 71, and 1 in 128 is shorter still: a quarter of a vbyte for each
 *   byte of a witness, a whole one for pkh.
 * - Schnorr: 64 bytes, and one more where the signer writes `SIGHASH_ALL` instead of the default (BIP341): 65.
 * - Keys are compressed: BIP32 has no others.
 *
 * So it is exact to the vbyte for each input, and never too little: the fee rate is never below what was asked.
 */
const ECDSA_SIGNATURE_BYTES = 72;
const SCHNORR_SIGNATURE_BYTES = 65;
const PUBLIC_KEY_BYTES = 33;
const WITNESS_SCALE = 4;

/** Outpoint and sequence. */
const INPUT_BASE_BYTES = 32 + 4 + 4;
/** Push of OP_0 and a hash of 20 bytes (BIP141, P2SH-P2WPKH). */
const REDEEM_SCRIPT_PUSH_BYTES = 1 + 22;
/** Signature and key, each with its length. */
const KEY_SATISFACTION_BYTES = 1 + ECDSA_SIGNATURE_BYTES + 1 + PUBLIC_KEY_BYTES;
/** The number of items of a witness. */
const WITNESS_COUNT_BYTES = 1;
/** Marker and flag. */
const SEGWIT_MARKER_WEIGHT = 2;

/**
 * Weight of an input once signed, at most: pkh 592, sh-wpkh 364, wpkh 272, tr by its key path 231. In a transaction with any
 * witness an input without one (pkh) weighs 1 more: `transactionWeight` knows.
 */
export function inputWeight(kind: ScriptKind): number {
  switch (kind) {
    case 'pkh':
      return WITNESS_SCALE * (INPUT_BASE_BYTES + 1 + KEY_SATISFACTION_BYTES);
    case 'sh-wpkh':
      return WITNESS_SCALE * (INPUT_BASE_BYTES + 1 + REDEEM_SCRIPT_PUSH_BYTES) + keyWitnessWeight();
    case 'wpkh':
      return WITNESS_SCALE * (INPUT_BASE_BYTES + 1) + keyWitnessWeight();
    case 'tr':
      return WITNESS_SCALE * (INPUT_BASE_BYTES + 1) + WITNESS_COUNT_BYTES + 1 + SCHNORR_SIGNATURE_BYTES;
  }
}

function keyWitnessWeight(): number {
  return WITNESS_COUNT_BYTES + KEY_SATISFACTION_BYTES;
}

/** Weight of an output whose script has this many bytes. */
export function outputWeight(scriptBytes: number): number {
  invariant(Number.isInteger(scriptBytes) && scriptBytes >= 0, `a script of ${scriptBytes} bytes`);
  return WITNESS_SCALE * (8 + compactSizeBytes(scriptBytes) + scriptBytes);
}

/** What a transaction consists of, as far as its weight goes. */
export interface TransactionShape {
  inputs: number;
  /** Of them without a witness: pkh. */
  inputsWithoutWitness: number;
  /** Sum of `inputWeight`. */
  inputsWeight: number;
  outputs: number;
  /** Sum of `outputWeight`. */
  outputsWeight: number;
}

/** Weight of a transaction once signed, at most. */
export function transactionWeight({
  inputs,
  inputsWithoutWitness,
  inputsWeight,
  outputs,
  outputsWeight,
}: TransactionShape): number {
  return weightOf(inputs, inputsWithoutWitness, inputsWeight, outputs, outputsWeight);
}

/** The same of plain numbers: branch and bound asks a hundred thousand times, and an object each would cost more than the sum. */
export function weightOf(
  inputs: number,
  inputsWithoutWitness: number,
  inputsWeight: number,
  outputs: number,
  outputsWeight: number,
): number {
  const fixed = WITNESS_SCALE * (4 + 4 + compactSizeBytes(inputs) + compactSizeBytes(outputs));
  const witness = inputs > inputsWithoutWitness ? SEGWIT_MARKER_WEIGHT + inputsWithoutWitness : 0;
  return fixed + witness + inputsWeight + outputsWeight;
}

/** The shape of a transaction that spends these kinds and pays these scripts (hex). */
export function shapeOf(kinds: readonly ScriptKind[], scripts: readonly string[]): TransactionShape {
  return {
    inputs: kinds.length,
    inputsWithoutWitness: kinds.filter((kind) => kind === 'pkh').length,
    inputsWeight: kinds.reduce((sum, kind) => sum + inputWeight(kind), 0),
    outputs: scripts.length,
    outputsWeight: scripts.reduce((sum, script) => sum + outputWeight(script.length / 2), 0),
  };
}

/** Virtual bytes: what fee rates are reckoned by (BIP141). */
export function vbytesOf(weight: number): number {
  return Math.ceil(weight / WITNESS_SCALE);
}

function compactSizeBytes(value: number): number {
  if (value < 0xfd) return 1;
  return value <= 0xffff ? 3 : 5;
}
