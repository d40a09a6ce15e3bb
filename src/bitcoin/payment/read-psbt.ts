/**
 * Reads of a PSBT what could be a signature, and the transaction that it says it is for. Everything else in it (amounts, scripts,
 * previous transactions, paths, proprietary fields) is passed over: we know better, and a signer may add what it likes.
 */
export interface ReadPsbt {
  unsignedTransaction: Uint8Array;
  /** Call it once the transaction is known to be the right one: how many maps there are depends on its inputs. */
  signatures(inputCount: number): PsbtSignatures[] | PsbtInvalid;
}

export interface PsbtSignatures {
  partialSigs: { publicKey: Uint8Array; signature: Uint8Array }[];
  tapKeySig: Uint8Array | undefined;
  finalScriptSig: Uint8Array | undefined;
  /** The witness as it stands in a transaction: count, then each item with its length. */
  finalScriptWitness: Uint8Array | undefined;
}

export interface PsbtInvalid {
  invalid: string;
}

const MAGIC = Buffer.from('70736274ff', 'hex');
/** BIP174 and BIP371. */
const GLOBAL_UNSIGNED_TX = 0x00;
const GLOBAL_VERSION = 0xfb;
const IN_PARTIAL_SIG = 0x02;
const IN_FINAL_SCRIPTSIG = 0x07;
const IN_FINAL_SCRIPTWITNESS = 0x08;
const IN_TAP_KEY_SIG = 0x13;

/** Key-value pairs in one map: an input has some ten. */
const MAX_PAIRS = 1_000;

interface Pair {
  type: number;
  keyData: Uint8Array;
  value: Uint8Array;
}

export function isPsbt(bytes: Uint8Array): boolean {
  return Buffer.compare(bytes.subarray(0, MAGIC.length), MAGIC) === 0;
}

export function readPsbt(bytes: Uint8Array): ReadPsbt | PsbtInvalid {
  if (!isPsbt(bytes)) return { invalid: 'it does not begin like a PSBT' };
  const cursor = { bytes, offset: MAGIC.length };
  const globals = readMap(cursor);
  if (globals === undefined) return { invalid: 'its global map is damaged' };
  const version = globals.find(({ type }) => type === GLOBAL_VERSION)?.value;
  if (version?.some((byte) => byte !== 0)) return { invalid: 'it is not a PSBT of version 0 (BIP174)' };
  const unsigned = globals.find(({ type, keyData }) => type === GLOBAL_UNSIGNED_TX && keyData.length === 0);
  if (unsigned === undefined) return { invalid: 'it has no unsigned transaction' };
  const firstInput = cursor.offset;
  return {
    unsignedTransaction: unsigned.value,
    signatures: (inputCount) => readInputs({ bytes, offset: firstInput }, inputCount),
  };
}

function readInputs(cursor: Cursor, inputCount: number): PsbtSignatures[] | PsbtInvalid {
  const inputs: PsbtSignatures[] = [];
  while (inputs.length < inputCount) {
    const map = readMap(cursor);
    if (map === undefined) return { invalid: `its map of input ${inputs.length} is damaged or missing` };
    inputs.push(signaturesOf(map));
  }
  return inputs;
}

function signaturesOf(map: readonly Pair[]): PsbtSignatures {
  const valueOf = (wanted: number): Uint8Array | undefined =>
    map.find(({ type, keyData }) => type === wanted && keyData.length === 0)?.value;
  return {
    partialSigs: map
      .filter(({ type }) => type === IN_PARTIAL_SIG)
      .map(({ keyData, value }) => ({ publicKey: keyData, signature: value })),
    tapKeySig: valueOf(IN_TAP_KEY_SIG),
    finalScriptSig: valueOf(IN_FINAL_SCRIPTSIG),
    finalScriptWitness: valueOf(IN_FINAL_SCRIPTWITNESS),
  };
}

interface Cursor {
  readonly bytes: Uint8Array;
  offset: number;
}

/** The pairs up to the separator; undefined where it is cut, has a key twice (BIP174 forbids it), or has too many. */
function readMap(cursor: Cursor): Pair[] | undefined {
  const pairs: Pair[] = [];
  const keys = new Set<string>();
  for (;;) {
    const key = readBytes(cursor);
    if (key === undefined) return undefined;
    if (key.length === 0) return pairs;
    const value = readBytes(cursor);
    const name = Buffer.from(key).toString('hex');
    if (value === undefined || keys.has(name) || pairs.length >= MAX_PAIRS) return undefined;
    keys.add(name);
    pairs.push({ type: key[0] ?? 0, keyData: key.subarray(1), value });
  }
}

function readBytes(cursor: Cursor): Uint8Array | undefined {
  const length = readLength(cursor);
  if (length === undefined || length > cursor.bytes.length - cursor.offset) return undefined;
  cursor.offset += length;
  return cursor.bytes.subarray(cursor.offset - length, cursor.offset);
}

/** Bitcoin's variable-length integer, up to four bytes: more than that is longer than anything that is read here. */
function readLength(cursor: Cursor): number | undefined {
  const { bytes, offset } = cursor;
  const first = bytes[offset];
  if (first === undefined) return undefined;
  const size = first < 0xfd ? 0 : first === 0xfd ? 2 : first === 0xfe ? 4 : 8;
  if (size === 8 || bytes.length - offset <= size) return undefined;
  cursor.offset = offset + 1 + size;
  if (size === 0) return first;
  let value = 0;
  for (let index = size; index >= 1; index -= 1) value = value * 256 + (bytes[offset + index] ?? 0);
  return value;
}

/** Takes a witness apart; undefined where it is cut or has more behind it. */
export function readWitness(bytes: Uint8Array): Uint8Array[] | undefined {
  const cursor = { bytes, offset: 0 };
  const count = readLength(cursor);
  if (count === undefined || count > bytes.length) return undefined;
  const items: Uint8Array[] = [];
  while (items.length < count) {
    const item = readBytes(cursor);
    if (item === undefined) return undefined;
    items.push(item);
  }
  return cursor.offset === bytes.length ? items : undefined;
}
