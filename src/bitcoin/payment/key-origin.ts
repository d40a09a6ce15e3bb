import * as ecc from '@bitcoinerlab/secp256k1';
import { BIP32Factory } from 'bip32';
import { invariant } from '../../platform/assert.js';
import type { Descriptor } from '../descriptors/parse-descriptor.js';
import type { NetworkName } from '../network.js';
import { NETWORK_PARAMETERS } from '../descriptors/network-parameters.js';

/** Where the keys of a descriptor come from, as signers look for theirs (BIP380, BIP174 `PSBT_IN_BIP32_DERIVATION`). */
export interface KeyOrigin {
  /** First four bytes of the hash of the master key; of the extended key itself where the descriptor names no origin. */
  masterFingerprint: Uint8Array;
  /** From there to the parent of the descriptor's keys; hardened steps from 2^31 on (BIP32). */
  path: number[];
}

const KEY_EXPRESSION =
  /(?:\[(?<fingerprint>[0-9a-f]{8})(?<origin>(?:\/\d+['h]?)*)\])?(?<key>[xt]pub[1-9A-HJ-NP-Za-km-z]+)(?<steps>(?:\/\d+)*)\/\*/i;

/** A descriptor's text is parsed once: reading an extended key costs as much as deriving one. */
const known = new WeakMap<Descriptor, KeyOrigin>();

export function keyOrigin(descriptor: Descriptor, network: NetworkName): KeyOrigin {
  const there = known.get(descriptor);
  if (there !== undefined) return there;
  const groups = KEY_EXPRESSION.exec(descriptor.text)?.groups;
  invariant(groups?.['key'] !== undefined, 'a descriptor has one extended key');
  const { fingerprint, origin = '', key, steps = '' } = groups;
  const path = `${origin}${steps}`.split('/').slice(1).map(stepOf);
  const masterFingerprint =
    fingerprint === undefined
      ? BIP32Factory(ecc).fromBase58(key, NETWORK_PARAMETERS[network]).fingerprint
      : Buffer.from(fingerprint, 'hex');
  const found = { masterFingerprint, path };
  known.set(descriptor, found);
  return found;
}

function stepOf(text: string): number {
  const index = Number.parseInt(text, 10);
  return /['h]$/i.test(text) ? index + 0x8000_0000 : index;
}
