/** An unspent output of the chain, or one of the mempool. */
export interface Coin {
  amountSats: bigint;
  script: Uint8Array;
  /** Height of the block that holds it; for an output of the mempool the height of the next block. */
  height: number;
  coinbase: boolean;
}

const OP_RETURN = 0x6a;
/** consensus: MAX_SCRIPT_SIZE */
const MAX_SCRIPT_BYTES = 10_000;

/** Outputs that nobody can ever spend are not kept (Bitcoin Core, `IsUnspendable`). */
export function isUnspendable(script: Uint8Array): boolean {
  return script[0] === OP_RETURN || script.length > MAX_SCRIPT_BYTES;
}
