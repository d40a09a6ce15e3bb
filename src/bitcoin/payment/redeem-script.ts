import { crypto } from 'bitcoinjs-lib';
import type { Descriptor } from '../descriptors/parse-descriptor.js';

/** The script that the scriptSig of an sh(wpkh) input pushes, in hex: a witness program of the key's hash (BIP49). */
export function redeemScriptAt({ parent }: Descriptor, index: number): string {
  return `0014${Buffer.from(crypto.hash160(parent.derive(index).publicKey)).toString('hex')}`;
}
