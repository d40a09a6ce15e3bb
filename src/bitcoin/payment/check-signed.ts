import { Transaction } from 'bitcoinjs-lib';
import { MAX_TRANSACTION_BYTES, type PlannedTransaction } from '../../domain/events/payout-events.js';
import { invariant } from '../../platform/assert.js';
import { compareTransaction, MAX_MISMATCHES, type Mismatch } from './compare-transaction.js';
import { isPsbt, readPsbt, readWitness, type PsbtSignatures } from './read-psbt.js';
import { kindOfScript } from './script-kind.js';
import { sighashesOf, type OwnCoin } from './sighash.js';
import { outpointOf, plannedFee, unsignedTransaction } from './unsigned-transaction.js';
import { finalForm, isKeyOf, problemOfInput } from './verify-signed-input.js';

/** What is taken from a signer, as bytes: a PSBT with the previous transactions of hundreds of coins is a few megabytes. */
export const MAX_SIGNED_BYTES = 16 * 1024 * 1024;
/** The same as hex, the longer of the two ways to write it; line breaks in base64 need less. */
const MAX_SIGNED_CHARACTERS = 2 * MAX_SIGNED_BYTES;

/** Named as in the event `CandidateSigned`. */
export interface SignedTransaction {
  kind: 'complete';
  txid: string;
  /** Raw, in hex. */
  transaction: string;
  /** `txid:vout` of the coins that it spends. */
  inputs: string[];
  changeVouts: number[];
  feeSats: bigint;
  weight: number;
}

export type CheckedSigned =
  | SignedTransaction
  | { kind: 'mismatch'; mismatches: Mismatch[] }
  /** Nothing is wrong with it; these inputs have no signature yet. */
  | { kind: 'incomplete'; inputs: number[] };

interface FinalInput {
  scriptSig: Uint8Array;
  witness: Uint8Array[];
}

/** An input as it came back: in its final form, without a signature, or with something that cannot be one. */
type ReturnedInput = FinalInput | 'unsigned' | { problem: string };

/**
 * Compares what a signer brought back with what was asked, byte for byte but for the signatures, verifies every signature against
 * our own coins, and gives the transaction to broadcast. Nothing that a PSBT claims of amounts, scripts or fees is looked at
 * (bitcoinjs-lib #2346, #2347).
 *
 * @param signed a PSBT (binary, base64 or hex; also a finalized one), or the raw signed transaction (binary or hex)
 */
export function checkSigned(signed: string | Uint8Array, planned: PlannedTransaction): CheckedSigned {
  const bytes = typeof signed === 'string' ? decodeText(signed) : decodeBytes(signed);
  if (bytes === undefined) return mismatch('format', 'it is neither a PSBT nor a transaction, or it is too long');
  const returned = isPsbt(bytes) ? readReturnedPsbt(bytes, planned) : readRawTransaction(bytes, planned);
  if ('mismatches' in returned) return { kind: 'mismatch', mismatches: returned.mismatches };
  return checkInputs(returned.inputs, planned);
}

function mismatch(field: Mismatch['field'], detail: string): { kind: 'mismatch'; mismatches: Mismatch[] } {
  return { kind: 'mismatch', mismatches: [{ field, detail }] };
}

type Returned = { inputs: ReturnedInput[] } | { mismatches: Mismatch[] };

function readReturnedPsbt(bytes: Uint8Array, planned: PlannedTransaction): Returned {
  const psbt = readPsbt(bytes);
  if ('invalid' in psbt) return mismatch('format', psbt.invalid);
  const differences = compareUnsigned(psbt.unsignedTransaction, planned);
  if (differences.length > 0) return { mismatches: differences };
  const signatures = psbt.signatures(planned.inputs.length);
  if ('invalid' in signatures) return mismatch('format', signatures.invalid);
  const inputs = signatures.map((input, index) => {
    const script = planned.inputs[index]?.script;
    invariant(script !== undefined, 'as many inputs are read as are planned');
    return returnedInput(input, Buffer.from(script, 'hex'));
  });
  return { inputs };
}

function compareUnsigned(bytes: Uint8Array, planned: PlannedTransaction): Mismatch[] {
  if (Buffer.compare(bytes, unsignedTransaction(planned).toBuffer()) === 0) return [];
  const tx = parseTransaction(bytes);
  const named = tx === undefined ? [] : compareTransaction(planned, tx);
  // Equal in everything and still other bytes: signatures inside, or another way to write it.
  return named.length > 0
    ? named
    : [{ field: 'format', detail: 'its unsigned transaction is not written as the one that was sent' }];
}

function readRawTransaction(bytes: Uint8Array, planned: PlannedTransaction): Returned {
  const tx = bytes.length > MAX_TRANSACTION_BYTES ? undefined : parseTransaction(bytes);
  if (tx === undefined) return mismatch('format', 'it is neither a PSBT nor a transaction, or it is too long');
  const differences = compareTransaction(planned, tx);
  if (differences.length > 0) return { mismatches: differences };
  const inputs = tx.ins.map(({ script, witness }) => finalOrUnsigned(script, witness));
  return { inputs };
}

/** Undefined where it is no transaction, or not in the one way to write it. */
function parseTransaction(bytes: Uint8Array): Transaction | undefined {
  try {
    const tx = Transaction.fromBuffer(bytes);
    return Buffer.compare(tx.toBuffer(), bytes) === 0 ? tx : undefined;
  } catch {
    // Whatever the parser does not like, the answer is the same.
    return undefined;
  }
}

function finalOrUnsigned(scriptSig: Uint8Array, witness: Uint8Array[]): ReturnedInput {
  return scriptSig.length === 0 && witness.length === 0 ? 'unsigned' : { scriptSig, witness };
}

function returnedInput(input: PsbtSignatures, script: Uint8Array): ReturnedInput {
  const { finalScriptSig, finalScriptWitness, partialSigs, tapKeySig } = input;
  if (finalScriptSig !== undefined || finalScriptWitness !== undefined) {
    const witness = finalScriptWitness === undefined ? [] : readWitness(finalScriptWitness);
    if (witness === undefined) return { problem: 'its final witness is damaged' };
    return finalOrUnsigned(finalScriptSig ?? new Uint8Array(), witness);
  }
  const kind = kindOfScript(script);
  if (kind === 'tr') {
    return tapKeySig === undefined ? 'unsigned' : { scriptSig: new Uint8Array(), witness: [tapKeySig] };
  }
  if (partialSigs.length === 0) return 'unsigned';
  const own = partialSigs.find(({ publicKey }) => isKeyOf(kind, script, publicKey));
  if (own === undefined) return { problem: 'it is signed by a key that is not the one of the coin' };
  // A push of more would be written otherwise; the verifier says what is wrong with it.
  if (own.signature.length > 75 || own.publicKey.length > 75) return { problem: 'its signature is too long to be one' };
  return finalForm(kind, own);
}

function checkInputs(returned: readonly ReturnedInput[], planned: PlannedTransaction): CheckedSigned {
  const tx = unsignedTransaction(planned);
  const mismatches: Mismatch[] = [];
  const unsigned: number[] = [];
  const toVerify: number[] = [];
  for (const [index, input] of returned.entries()) {
    if (input === 'unsigned') unsigned.push(index);
    else if ('problem' in input) mismatches.push({ field: 'signature', detail: `input ${index}: ${input.problem}` });
    else {
      tx.setInputScript(index, input.scriptSig);
      tx.setWitness(index, input.witness);
      toVerify.push(index);
    }
  }
  // Before the signatures: they would take seconds to verify in a transaction that is far too large.
  const weight = tx.weight();
  if (weight > planned.weight) {
    return mismatch('weight', `it weighs ${weight} units, and at most ${planned.weight} were planned`);
  }
  mismatches.push(...verifyInputs(tx, toVerify, planned));
  if (mismatches.length > 0) return { kind: 'mismatch', mismatches: mismatches.slice(0, MAX_MISMATCHES) };
  if (unsigned.length > 0) return { kind: 'incomplete', inputs: unsigned };
  return complete(tx, planned);
}

function verifyInputs(tx: Transaction, indexes: readonly number[], planned: PlannedTransaction): Mismatch[] {
  const coins = planned.inputs.map(({ script, amountSats }): OwnCoin => {
    return { script: Buffer.from(script, 'hex'), amountSats: BigInt(amountSats) };
  });
  const sighashes = sighashesOf(tx, coins);
  const mismatches: Mismatch[] = [];
  for (const index of indexes) {
    const coin = coins[index];
    invariant(coin !== undefined, 'every input has a coin');
    const problem = problemOfInput(tx, index, coin, sighashes);
    if (problem !== undefined) mismatches.push({ field: 'signature', detail: `input ${index}: ${problem}` });
    // One bad signature is enough to refuse; verifying hundreds more would only cost time.
    if (mismatches.length >= MAX_MISMATCHES) break;
  }
  return mismatches;
}

function complete(tx: Transaction, planned: PlannedTransaction): CheckedSigned {
  const txid = tx.getId();
  if (planned.txid !== null && txid !== planned.txid) {
    return mismatch('txid', `its txid is ${txid}, and ${planned.txid} was planned`);
  }
  const bytes = tx.toBuffer();
  if (bytes.length > MAX_TRANSACTION_BYTES) return mismatch('weight', `it has ${bytes.length} bytes`);
  const feeSats = plannedFee(planned);
  invariant(
    feeSats === BigInt(planned.feeSats) && feeSats > 0n,
    'the fee is what the coins have more than the outputs',
  );
  return {
    kind: 'complete',
    txid,
    transaction: Buffer.from(bytes).toString('hex'),
    inputs: planned.inputs.map(outpointOf),
    changeVouts: planned.outputs.flatMap(({ changeIndex }, vout) => (changeIndex === null ? [] : [vout])),
    feeSats,
    weight: tx.weight(),
  };
}

const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;
const HEX = /^(?:[0-9a-fA-F]{2})+$/;

function decodeText(text: string): Uint8Array | undefined {
  if (text.length > MAX_SIGNED_CHARACTERS) return undefined;
  const compact = text.replace(/\s+/g, '');
  if (HEX.test(compact)) return bounded(Buffer.from(compact, 'hex'));
  return BASE64.test(compact) ? bounded(Buffer.from(compact, 'base64')) : undefined;
}

/** Bytes that are text, as some clients send them, are read as text. */
function decodeBytes(bytes: Uint8Array): Uint8Array | undefined {
  if (bytes.length === 0 || bytes.length > MAX_SIGNED_CHARACTERS) return undefined;
  const isText = bytes.every((byte) => (byte >= 0x20 && byte < 0x7f) || (byte >= 0x09 && byte <= 0x0d));
  return isText ? decodeText(Buffer.from(bytes).toString('latin1')) : bounded(bytes);
}

function bounded(bytes: Uint8Array): Uint8Array | undefined {
  return bytes.length > 0 && bytes.length <= MAX_SIGNED_BYTES ? bytes : undefined;
}
