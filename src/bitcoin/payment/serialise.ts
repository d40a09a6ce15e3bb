/** The few ways in which Bitcoin writes numbers and bytes, for transactions' digests and for PSBTs. */

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

export function u64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
}

/** A variable-length integer; nothing here is as long as 2^32. */
export function varint(value: number): Buffer {
  if (value < 0xfd) return Buffer.of(value);
  const bytes = Buffer.alloc(value <= 0xffff ? 3 : 5);
  bytes[0] = value <= 0xffff ? 0xfd : 0xfe;
  bytes.writeUIntLE(value, 1, bytes.length - 1);
  return bytes;
}

export function withLength(bytes: Uint8Array): Buffer {
  return Buffer.concat([varint(bytes.length), bytes]);
}
