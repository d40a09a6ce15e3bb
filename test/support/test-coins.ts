import { createHash } from 'node:crypto';
import type { ScriptKind } from '../../src/bitcoin/descriptors/parse-descriptor.js';
import type { Coin } from '../../src/bitcoin/payment/coin.js';

/** Scripts of each kind; the hashes in them are of nothing. */
export const SCRIPT_OF_KIND: Readonly<Record<ScriptKind, string>> = {
  pkh: `76a914${'aa'.repeat(20)}88ac`,
  'sh-wpkh': `a914${'bb'.repeat(20)}87`,
  wpkh: `0014${'cc'.repeat(20)}`,
  tr: `5120${'dd'.repeat(32)}`,
};

/** A confirmed coin, told from others by its number. */
export function testCoin(number: number, amountSats: bigint, kind: ScriptKind = 'wpkh'): Coin {
  return {
    txid: createHash('sha256').update(`coin ${number}`).digest('hex'),
    vout: number % 7,
    amountSats,
    script: SCRIPT_OF_KIND[kind],
    kind,
    derivation: { branch: 0, index: number },
    blockHash: 'ee'.repeat(32),
    confirmations: 10,
  };
}

/** Numbers from 0 to below 1, the same for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
