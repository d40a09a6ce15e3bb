/**
 * What regtest is, as Bitcoin Core and btcd both have it (chainparams.cpp, `CRegTestParams`): the same target for ever,
 * all soft forks active from block 1, the subsidy halving every 150 blocks.
 */

/** Stands before every record of a blk*.dat file, and before every message on the wire. */
export const REGTEST_MAGIC = Uint8Array.of(0xfa, 0xbf, 0xb5, 0xda);

export const REGTEST_GENESIS_HASH = '0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206';

/** The whole genesis block. Its coinbase can never be spent and is not part of the coins. */
export const REGTEST_GENESIS_HEX =
  '0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc81bc3' +
  '888a51323a9fb8aa4b1e5e4adae5494dffff7f2002000000' +
  '01' +
  '01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d0104455468652054696d' +
  '65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e64206261696c6f757420666f72' +
  '2062616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6' +
  'bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000';

/** Compact target of every block. */
export const REGTEST_BITS = 0x207fffff;

/** 2^256 / (target + 1), rounded down: what one block adds to the work of its chain. */
export const REGTEST_BLOCK_WORK = 2n;

/** A hash is good when it is not above this, as big-endian hex. */
export const REGTEST_TARGET_HEX = '7fffff'.padEnd(64, '0');

/** A template's version: BIP9 with no bit set. Anything below 4 is refused since BIP65. */
export const BLOCK_VERSION = 0x20000000;
export const MINIMUM_BLOCK_VERSION = 4;

/** A coinbase output can be spent by a block this much higher (consensus.h, `COINBASE_MATURITY`). */
export const COINBASE_MATURITY = 100;

/** BIP141. */
export const MAX_BLOCK_WEIGHT = 4_000_000;
export const MAX_BLOCK_SIGOPS_COST = 80_000;

/** Blocks cannot be longer than their weight: one byte weighs at least one. */
export const MAX_BLOCK_BYTES = MAX_BLOCK_WEIGHT;

/** A block's time may be at most this far ahead of the clock (validation.h, `MAX_FUTURE_BLOCK_TIME`). */
export const MAX_FUTURE_BLOCK_SECONDS = 7_200;

/** BIP113 and the time rule of headers look at the median of this many blocks. */
export const MEDIAN_TIME_SPAN = 11;

const FIRST_SUBSIDY_SATS = 5_000_000_000n;
const HALVING_INTERVAL = 150;
/** A shift by 64 and more would be undefined in Core's C++, which is why it stops there; the subsidy is long zero. */
const LAST_HALVING = 64;

/** New coins of the block at this height, in satoshis: 50 BTC, halved every 150 blocks, 0 in the end. */
export function blockSubsidySats(height: number): bigint {
  const halvings = Math.floor(height / HALVING_INTERVAL);
  return halvings >= LAST_HALVING ? 0n : FIRST_SUBSIDY_SATS >> BigInt(halvings);
}
