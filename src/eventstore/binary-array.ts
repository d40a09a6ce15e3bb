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
const OID = { bytea: 17, int8: 20, int4: 23, text: 25, json: 114, uuid: 2950, jsonb: 3802 } as const;

/** `jsonb` begins with the version of its binary format. */
const JSONB_VERSION = 1;

export function int4Array(values: readonly number[]): Buffer {
  const array = begin(OID.int4, values.length, values.length * 8);
  let at = HEADER_BYTES;
  for (const value of values) {
    at = array.writeInt32BE(4, at);
    at = array.writeInt32BE(value, at);
  }
  return array;
}

export function int8Array(values: readonly (bigint | null)[]): Buffer {
  const nulls = values.reduce((count, value) => count + (value === null ? 1 : 0), 0);
  const array = begin(OID.int8, values.length, values.length * 12 - nulls * 8);
  let at = HEADER_BYTES;
  for (const value of values) {
    if (value === null) {
      at = array.writeInt32BE(NULL_LENGTH, at);
    } else {
      at = array.writeInt32BE(8, at);
      at = array.writeBigInt64BE(value, at);
    }
  }
  return array;
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
