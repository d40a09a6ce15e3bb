import type { NetworkName } from '../network.js';
import type { BlockHeader } from '../scan-types.js';
import { hashHex, i32At, u32At } from './bytes.js';
import { sha256d } from './sha256d.js';

export const HEADER_BYTES = 80;

/** The easiest target of each network (Bitcoin Core, `kernel/chainparams.cpp`; signet: BIP325). */
const POW_LIMITS: Readonly<Record<NetworkName, bigint>> = {
  mainnet: (1n << 224n) - 1n,
  testnet4: (1n << 224n) - 1n,
  signet: 0x377aen << 216n,
  regtest: (1n << 255n) - 1n,
};

export function powLimitOf(network: NetworkName): bigint {
  return POW_LIMITS[network];
}

/**
 * Reads a block header. What it says is not checked: see `checkProofOfWork`.
 *
 * @param bytes the header, or a block that begins with it
 * @throws RangeError when there are fewer than 80 bytes
 */
export function parseHeader(bytes: Uint8Array): BlockHeader {
  if (bytes.length < HEADER_BYTES) throw new RangeError(`a header has ${HEADER_BYTES} bytes, not ${bytes.length}`);
  return {
    hash: hashHex(sha256d(bytes.subarray(0, HEADER_BYTES)), 0),
    version: i32At(bytes, 0),
    prevHash: hashHex(bytes, 4),
    merkleRoot: hashHex(bytes, 36),
    time: u32At(bytes, 68),
    bits: u32At(bytes, 72),
    nonce: u32At(bytes, 76),
  };
}

/**
 * The target of a compact target (Bitcoin Core, `arith_uint256::SetCompact`), or undefined where it is negative, zero or
 * does not fit in 256 bits: no block can have it.
 */
export function targetOfBits(bits: number): bigint | undefined {
  const bytes = bits >>> 24;
  const mantissa = BigInt(bits & 0x007fffff);
  const negative = (bits & 0x00800000) !== 0;
  const target = bytes <= 3 ? mantissa >> BigInt(8 * (3 - bytes)) : mantissa << BigInt(8 * (bytes - 3));
  if (target === 0n || negative || target >= 1n << 256n) return undefined;
  return target;
}

/** The expected number of hashes for a block of this compact target: 2^256 / (target + 1), and 0 for one that cannot be. */
export function workOfBits(bits: number): bigint {
  const target = targetOfBits(bits);
  return target === undefined ? 0n : (1n << 256n) / (target + 1n);
}

/** Whether the header's hash is at most the target that it claims, and that target not easier than the network allows. */
export function checkProofOfWork(header: Pick<BlockHeader, 'hash' | 'bits'>, powLimit: bigint): boolean {
  const target = targetOfBits(header.bits);
  return target !== undefined && target <= powLimit && BigInt(`0x${header.hash}`) <= target;
}
