import { address as codec, Block, networks } from 'bitcoinjs-lib';

/**
 * What each address has got in these blocks, output by output, coinbases left out. Reads the raw blocks with bitcoinjs-lib and knows nothing
 * of the ledger: it is what a stranger would count.
 */
export function paymentsIn(blocks: readonly Uint8Array[]): (address: string) => bigint[] {
  const received = new Map<string, bigint[]>();
  for (const raw of blocks) {
    for (const { outs } of (Block.fromBuffer(raw).transactions ?? []).slice(1)) {
      for (const { script, value } of outs) {
        const key = Buffer.from(script).toString('hex');
        received.set(key, [...(received.get(key) ?? []), value]);
      }
    }
  }
  return (address) => received.get(Buffer.from(codec.toOutputScript(address, networks.regtest)).toString('hex')) ?? [];
}
