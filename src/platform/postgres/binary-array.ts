/**
 * Arrays in PostgreSQL's binary format, which the driver sends as it is when a parameter is a Buffer. A text array would have every
 * quote of every JSON document escaped here and unescaped there.
 *
 * Format (src/backend/utils/adt/arrayfuncs.c, array_recv): int32 dimensions, int32 has-nulls, int32 element type, then per
 * dimension int32 length, int32 lower bound, then per element int32 byte length (-1: null) and the bytes.
 */

const HEADER_BYTES = 20;
const NULL_LENGTH = -1;

/** Type numbers of pg_type, fixed for ever. */
const OID = {
  bool: 16,
  bytea: 17,
  int8: 20,
  int4: 23,
  text: 25,
  json: 114,
  timestamptz: 1184,
  uuid: 2950,
  jsonb: 3802,
} as const;

/** `jsonb` begins with the version of its binary format. */
const JSONB_VERSION = 1;

/** Milliseconds from 1970 to 2000, where PostgreSQL's times begin. */
const EPOCH_MS = 946_684_800_000;

export function int4Array(values: readonly (number | null)[]): Buffer {
  return ofFixed(OID.int4, 4, values, (array, value, at) => array.writeInt32BE(value, at));
}

export function int8Array(values: readonly (bigint | null)[]): Buffer {
  return ofFixed(OID.int8, 8, values, (array, value, at) => array.writeBigInt64BE(value, at));
}

export function boolArray(values: readonly (boolean | null)[]): Buffer {
  return ofFixed(OID.bool, 1, values, (array, value, at) => array.writeUInt8(value ? 1 : 0, at));
}

/** To the millisecond. */
export function timestamptzArray(values: readonly (Date | null)[]): Buffer {
  return ofFixed(OID.timestamptz, 8, values, (array, value, at) =>
    array.writeBigInt64BE(BigInt(value.getTime() - EPOCH_MS) * 1000n, at),
  );
}

/** @param values of 36 characters, RFC 9562 */
export function uuidArray(values: readonly string[]): Buffer {
  const array = begin(OID.uuid, values.length, values.length * 20);
  let at = HEADER_BYTES;
  for (const value of values) {
    at = array.writeInt32BE(16, at);
    at += array.write(value.replaceAll('-', ''), at, 16, 'hex');
  }
  return array;
}

/** @param values hex */
export function byteaArray(values: readonly (string | null)[]): Buffer {
  return ofStrings(OID.bytea, values, 'hex', undefined);
}

export function textArray(values: readonly (string | null)[]): Buffer {
  return ofStrings(OID.text, values, 'utf8', undefined);
}

/** @param values JSON text */
export function jsonArray(values: readonly (string | null)[]): Buffer {
  return ofStrings(OID.json, values, 'utf8', undefined);
}

/** @param values JSON text */
export function jsonbArray(values: readonly (string | null)[]): Buffer {
  return ofStrings(OID.jsonb, values, 'utf8', JSONB_VERSION);
}

/** @param write a value of so many bytes; answers where the next begins */
function ofFixed<T>(
  oid: number,
  bytes: number,
  values: readonly (T | null)[],
  write: (array: Buffer, value: T, at: number) => number,
): Buffer {
  let nulls = 0;
  for (const value of values) if (value === null) nulls += 1;
  const array = begin(oid, values.length, values.length * (4 + bytes) - nulls * bytes);
  let at = HEADER_BYTES;
  for (const value of values) {
    if (value === null) at = array.writeInt32BE(NULL_LENGTH, at);
    else at = write(array, value, array.writeInt32BE(bytes, at));
  }
  return array;
}

function ofStrings(
  oid: number,
  values: readonly (string | null)[],
  encoding: 'utf8' | 'hex',
  prefix: number | undefined,
): Buffer {
  const prefixBytes = prefix === undefined ? 0 : 1;
  let bytes = 0;
  for (const value of values) bytes += 4 + (value === null ? 0 : prefixBytes + Buffer.byteLength(value, encoding));
  const array = begin(oid, values.length, bytes);
  let at = HEADER_BYTES;
  for (const value of values) {
    if (value === null) {
      at = array.writeInt32BE(NULL_LENGTH, at);
      continue;
    }
    const start = at + 4;
    const end = start + prefixBytes + array.write(value, start + prefixBytes, encoding);
    if (prefix !== undefined) array.writeUInt8(prefix, start);
    array.writeInt32BE(end - start, at);
    at = end;
  }
  return array;
}

function begin(oid: number, length: number, bodyBytes: number): Buffer {
  if (length === 0) {
    // An empty array has no dimension.
    const empty = Buffer.alloc(12);
    empty.writeInt32BE(oid, 8);
    return empty;
  }
  const array = Buffer.allocUnsafe(HEADER_BYTES + bodyBytes);
  array.writeInt32BE(1, 0);
  array.writeInt32BE(1, 4);
  array.writeInt32BE(oid, 8);
  array.writeInt32BE(length, 12);
  array.writeInt32BE(1, 16);
  return array;
}
