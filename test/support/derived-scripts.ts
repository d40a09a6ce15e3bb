import { Output } from '@bitcoinerlab/descriptors';
import { networks } from 'bitcoinjs-lib';

/** Scripts of the first indexes of a regtest descriptor, by a library of others. */
export function derived(descriptor: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) =>
    Buffer.from(new Output({ descriptor, index, network: networks.regtest }).getScriptPubKey()).toString('hex'),
  );
}
