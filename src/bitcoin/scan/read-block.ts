import type { BlockInvalid, OutpointSet, ScriptSet } from '../scan-types.js';
import { byteAt, u32At } from './bytes.js';
import { OUTPOINT_BYTES } from './outpoint-set.js';
import { HEADER_BYTES } from './parse-header.js';

/** Consensus (BIP141). Three units for a byte that is not witness data, and one more for every byte. */
export const MAX_BLOCK_WEIGHT = 4_000_000;

/** More bytes than this have more weight than a block may have, whatever they are. */
export const MAX_BLOCK_BYTES = MAX_BLOCK_WEIGHT;

/** 21 million bitcoin in satoshis, as the two halves of an amount: no output is worth more (consensus). */
const MAX_MONEY_HIGH = 0x000775f0;
const MAX_MONEY_LOW = 0x5a074000;

/** Outpoint, empty script, sequence. */
const MIN_INPUT_BYTES = 41;
/** Amount, empty script. */
const MIN_OUTPUT_BYTES = 9;
/** One input, one output. */
const MIN_TRANSACTION_BYTES = 4 + 1 + MIN_INPUT_BYTES + 1 + MIN_OUTPUT_BYTES + 4;

const COMMITMENT_SCRIPT_BYTES = 38;

/** Where things are in the bytes of a block; all numbers are offsets from its beginning unless they say otherwise. */
export interface BlockLayout {
  kind: 'layout';
  transactionCount: number;
  /** Of transaction `i`. */
  starts: Int32Array;
  /** Where its input count stands: 4 behind the start, or 6 with witness data (BIP144). */
  bodyStarts: Int32Array;
  /** Behind its last output. */
  bodyEnds: Int32Array;
  ends: Int32Array;
  /** Its first input in `inputs`; one more entry than transactions, so that the next one says where it stops. */
  firstInputs: Int32Array;
  /** Every input of the block, one after the other. */
  inputs: Int32Array;
  matches: OutputMatch[];
  /** Those of `inputs` (as indices into it, ascending) that spend an outpoint watched from the beginning. */
  spends: number[];
  /** The 32 bytes of the witness commitment, or -1 (BIP141: the last output of the coinbase that looks like one). */
  commitment: number;
}

/** What to look for. */
export interface Watched {
  scripts: ScriptSet;
  outpoints: OutpointSet;
}

/** An output that pays a watched script. */
export interface OutputMatch {
  transaction: number;
  vout: number;
  /** Its amount, which its script's length follows. */
  offset: number;
  scriptOffset: number;
  scriptLength: number;
  owner: number;
}

/** A reader that fails once: then it stands at the end, everything reads as 0, and `trouble` says why. */
interface Cursor {
  readonly bytes: Uint8Array;
  offset: number;
  trouble: BlockInvalid | undefined;
}

function fail(cursor: Cursor, reason: BlockInvalid['reason'], what: string): 0 {
  cursor.trouble ??= { kind: 'invalid', reason, detail: `${what} at byte ${cursor.offset}` };
  cursor.offset = cursor.bytes.length;
  return 0;
}

const left = (cursor: Cursor): number => cursor.bytes.length - cursor.offset;

function skip(cursor: Cursor, length: number): void {
  if (length > left(cursor)) fail(cursor, 'truncated', `${length} bytes are missing`);
  else cursor.offset += length;
}

/** A variable-length integer, which must be as short as it can be, or Bitcoin Core does not read it. */
function varint(cursor: Cursor): number {
  const { bytes, offset } = cursor;
  if (offset >= bytes.length) return fail(cursor, 'truncated', 'a length is missing');
  const first = byteAt(bytes, offset);
  if (first < 0xfd) {
    cursor.offset = offset + 1;
    return first;
  }
  const size = first === 0xfd ? 2 : first === 0xfe ? 4 : 8;
  if (bytes.length - offset <= size) return fail(cursor, 'truncated', 'a length is cut');
  let value = 0;
  // Above 2^53 this rounds, to something that is longer than any block all the same.
  for (let i = size; i >= 1; i--) value = value * 256 + byteAt(bytes, offset + i);
  if (value < (size === 2 ? 0xfd : 2 ** (4 * size)))
    return fail(cursor, 'malformed-transaction', 'a length in a long form');
  cursor.offset = offset + 1 + size;
  return value;
}

/** A count of things of at least `minBytes` each, none of which can lie behind the end. */
function count(cursor: Cursor, minBytes: number): number {
  const value = varint(cursor);
  if (value * minBytes > left(cursor)) return fail(cursor, 'truncated', `there is no room for ${value} entries`);
  return value;
}

function isNullOutpoint(bytes: Uint8Array, offset: number): boolean {
  if (u32At(bytes, offset + 32) !== 0xffffffff) return false;
  for (let i = 0; i < 32; i++) if (byteAt(bytes, offset + i) !== 0) return false;
  return true;
}

/** OP_RETURN, a push of 36 bytes, and the commitment's own header (BIP141). More may follow. */
function isCommitment(bytes: Uint8Array, offset: number, length: number): boolean {
  if (length < COMMITMENT_SCRIPT_BYTES) return false;
  return (
    u32At(bytes, offset) === 0x21aa246a && byteAt(bytes, offset + 4) === 0xa9 && byteAt(bytes, offset + 5) === 0xed
  );
}

function readInputs(cursor: Cursor, layout: BlockLayout, transaction: number, outpoints: OutpointSet): void {
  const inputCount = count(cursor, MIN_INPUT_BYTES);
  if (inputCount === 0) fail(cursor, 'malformed-transaction', 'no inputs');
  const first = layout.firstInputs[transaction] ?? 0;
  layout.firstInputs[transaction + 1] = first + inputCount;
  let nullOutpoints = 0;
  for (let i = 0; i < inputCount && !cursor.trouble; i++) {
    const offset = cursor.offset;
    layout.inputs[first + i] = offset;
    skip(cursor, OUTPOINT_BYTES);
    if (cursor.trouble) return;
    if (isNullOutpoint(cursor.bytes, offset)) nullOutpoints++;
    else if (outpoints.hasBytes(cursor.bytes, offset)) layout.spends.push(first + i);
    const scriptLength = varint(cursor);
    skip(cursor, scriptLength + 4);
  }
  if (cursor.trouble) return;
  const isCoinbase = nullOutpoints === 1 && inputCount === 1;
  if (transaction === 0 && !isCoinbase) fail(cursor, 'coinbase-missing', 'the first transaction is no coinbase');
  if (transaction > 0 && nullOutpoints > 0) fail(cursor, 'malformed-transaction', 'an input that spends nothing');
}

function readOutputs(cursor: Cursor, layout: BlockLayout, transaction: number, scripts: ScriptSet): void {
  const { bytes } = cursor;
  const outputCount = count(cursor, MIN_OUTPUT_BYTES);
  if (outputCount === 0) fail(cursor, 'malformed-transaction', 'no outputs');
  for (let vout = 0; vout < outputCount && !cursor.trouble; vout++) {
    const offset = cursor.offset;
    skip(cursor, 8);
    const scriptLength = varint(cursor);
    const scriptOffset = cursor.offset;
    skip(cursor, scriptLength);
    if (cursor.trouble) return;
    const high = u32At(bytes, offset + 4);
    if (high >= MAX_MONEY_HIGH && (high > MAX_MONEY_HIGH || u32At(bytes, offset) > MAX_MONEY_LOW)) {
      fail(cursor, 'malformed-transaction', 'an output of more than 21 million bitcoin');
    }
    if (transaction === 0 && isCommitment(bytes, scriptOffset, scriptLength)) layout.commitment = scriptOffset + 6;
    const owner = scripts.ownerOf(bytes, scriptOffset, scriptLength);
    if (owner !== -1) layout.matches.push({ transaction, vout, offset, scriptOffset, scriptLength, owner });
  }
}

function skipWitnesses(cursor: Cursor, inputCount: number): void {
  let items = 0;
  for (let i = 0; i < inputCount && !cursor.trouble; i++) {
    const stackSize = count(cursor, 1);
    items += stackSize;
    for (let j = 0; j < stackSize && !cursor.trouble; j++) skip(cursor, varint(cursor));
  }
  if (items === 0) fail(cursor, 'malformed-transaction', 'a witness without any item');
}

function readTransaction(cursor: Cursor, layout: BlockLayout, transaction: number, watched: Watched): void {
  const { bytes } = cursor;
  layout.starts[transaction] = cursor.offset;
  skip(cursor, 4);
  const hasWitness = left(cursor) > 1 && byteAt(bytes, cursor.offset) === 0;
  if (hasWitness) {
    if (byteAt(bytes, cursor.offset + 1) !== 1)
      fail(cursor, 'malformed-transaction', 'no inputs, or an unknown extension');
    skip(cursor, 2);
  }
  layout.bodyStarts[transaction] = cursor.offset;
  readInputs(cursor, layout, transaction, watched.outpoints);
  readOutputs(cursor, layout, transaction, watched.scripts);
  layout.bodyEnds[transaction] = cursor.offset;
  const inputCount = (layout.firstInputs[transaction + 1] ?? 0) - (layout.firstInputs[transaction] ?? 0);
  if (hasWitness) skipWitnesses(cursor, inputCount);
  skip(cursor, 4);
  layout.ends[transaction] = cursor.offset;
}

/**
 * The one pass over a block's bytes: finds where its transactions and inputs are, the outputs that pay a watched script, and the
 * inputs that spend a watched outpoint. Checks what Bitcoin Core's deserialisation and its context-free checks of a transaction do, so far as an answer
 * could depend on it; scripts and signatures are not looked at. No transaction becomes an object.
 */
export function readBlock(bytes: Uint8Array, watched: Watched): BlockLayout | BlockInvalid {
  const invalid = (reason: BlockInvalid['reason'], detail: string): BlockInvalid => ({
    kind: 'invalid',
    reason,
    detail,
  });
  if (bytes.length > MAX_BLOCK_BYTES) return invalid('too-large', `${bytes.length} bytes`);
  if (bytes.length < HEADER_BYTES) return invalid('truncated', `${bytes.length} bytes are less than a header`);
  // Always a plain Uint8Array: V8 reads bytes faster where it has not seen Buffers too.
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  const cursor: Cursor = { bytes: plain, offset: HEADER_BYTES, trouble: undefined };
  const transactionCount = count(cursor, MIN_TRANSACTION_BYTES);
  if (cursor.trouble) return cursor.trouble;
  if (transactionCount === 0) return invalid('no-transactions', 'a block has at least a coinbase');

  const perTransaction = (): Int32Array => new Int32Array(transactionCount);
  const layout: BlockLayout = {
    kind: 'layout',
    transactionCount,
    starts: perTransaction(),
    bodyStarts: perTransaction(),
    bodyEnds: perTransaction(),
    ends: perTransaction(),
    firstInputs: new Int32Array(transactionCount + 1),
    inputs: new Int32Array(Math.ceil(left(cursor) / MIN_INPUT_BYTES)),
    matches: [],
    spends: [],
    commitment: -1,
  };
  let strippedBytes = cursor.offset;
  for (let i = 0; i < transactionCount && !cursor.trouble; i++) {
    readTransaction(cursor, layout, i, watched);
    strippedBytes += (layout.bodyEnds[i] ?? 0) - (layout.bodyStarts[i] ?? 0) + 8;
  }
  if (cursor.trouble) return cursor.trouble;
  if (left(cursor) > 0) return invalid('trailing-bytes', `${left(cursor)} bytes behind the last transaction`);
  const weight = 3 * strippedBytes + bytes.length;
  if (weight > MAX_BLOCK_WEIGHT) return invalid('too-large', `weight ${weight}`);
  return layout;
}
