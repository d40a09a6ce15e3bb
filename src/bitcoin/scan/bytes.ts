/**
 * Reads of raw bytes for code that has checked its bounds. Beyond the end every byte is 0: V8 drops the check where it
 * has seen none, so that this costs nothing.
 */
export function byteAt(bytes: Uint8Array, offset: number): number {
  return bytes[offset] ?? 0;
}

/** Little-endian, 0 to 2^32 - 1. */
export function u32At(bytes: Uint8Array, offset: number): number {
  return i32At(bytes, offset) >>> 0;
}

/** The same 32 bits as a signed number, which V8 keeps in a register. */
export function i32At(bytes: Uint8Array, offset: number): number {
  return (
    byteAt(bytes, offset) |
    (byteAt(bytes, offset + 1) << 8) |
    (byteAt(bytes, offset + 2) << 16) |
    (byteAt(bytes, offset + 3) << 24)
  );
}

/** Little-endian 64 bits, unsigned. */
export function u64At(bytes: Uint8Array, offset: number): bigint {
  return (BigInt(u32At(bytes, offset + 4)) << 32n) | BigInt(u32At(bytes, offset));
}

/** 32 bytes as Bitcoin shows a hash: hex of the bytes in reverse. */
export function hashHex(bytes: Uint8Array, offset: number): string {
  return Buffer.from(bytes.subarray(offset, offset + 32))
    .reverse()
    .toString('hex');
}

export function hex(bytes: Uint8Array, offset: number, length: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + offset, length).toString('hex');
}
