import * as ecc from '@bitcoinerlab/secp256k1';
import { address as addresses, initEccLib, networks } from 'bitcoinjs-lib';
import { refuse, type ChainRejection } from './rejection.js';

initEccLib(ecc);

/** Longest address there is: bech32 with a 40-byte program. */
const MAX_ADDRESS_LENGTH = 100;

/** The output script of a regtest address: p2pkh, p2sh and witness versions 0 and 1. */
export function scriptOfAddress(address: string): Uint8Array | ChainRejection {
  if (address.length <= MAX_ADDRESS_LENGTH && isKnownForm(address)) {
    try {
      return addresses.toOutputScript(address, networks.regtest);
    } catch {
      // Wrong checksum, wrong network, a point that is not on the curve: for all of them the answer is below.
    }
  }
  return refuse('address-invalid', 'This is not an address of regtest (bcrt1q…, bcrt1p…, m…, n… or 2…).');
}

/** Keeps later witness versions away from the library, which accepts them with a warning on the console. */
function isKnownForm(address: string): boolean {
  const lower = address.toLowerCase();
  return !lower.startsWith('bcrt1') || lower.startsWith('bcrt1q') || lower.startsWith('bcrt1p');
}
