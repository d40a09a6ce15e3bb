import { checksum, expand } from '@bitcoinerlab/descriptors';
import type { BIP32Interface } from 'bip32';
import type { NetworkName } from '../network.js';
import { NETWORK_PARAMETERS } from './network-parameters.js';

/** Longer ones cannot be single-key descriptors; origin paths have some levels, keys 111 characters. */
const MAX_DESCRIPTOR_LENGTH = 1_000;
/** BIP32 allows 255 levels; regular expressions and people need fewer. */
const MAX_PATH_LEVELS = 20;

export type ScriptKind = 'pkh' | 'wpkh' | 'sh-wpkh' | 'tr';

/** A ranged, public, single-key descriptor with one `*` at its end. */
export interface Descriptor {
  /** Canonical: single path, with checksum (BIP380). */
  text: string;
  kind: ScriptKind;
  /** Parent of the keys that the scripts are made of: `parent/index`. */
  parent: BIP32Interface;
}

/** What a descriptor given by a client stands for: one of the multipath `<0;1>` kind gives both branches (BIP389). */
export interface ParsedDescriptor {
  receive: Descriptor;
  change: Descriptor | null;
}

export interface DescriptorInvalid {
  invalid: string;
}

const BASE58 = '[1-9A-HJ-NP-Za-km-z]';
/**
 * Extended private keys of every prefix in use (also SLIP132's yprv, zprv, uprv, vprv …). At the beginning of a word only:
 * inside of one, the letters turn up in one public key of some hundred.
 */
const EXTENDED_PRIVATE_KEY = new RegExp(`(?<!${BASE58})[a-z]prv`, 'i');
/** Wallet import format: the checksum is not looked at, because a private key with a typing error is still a secret. */
const WIF = new RegExp(`(?<!${BASE58})[5KLc9]${BASE58}{50,51}(?!${BASE58})`);

const ORIGIN = String.raw`(?:\[[0-9a-fA-F]{8}(?:\/\d{1,10}['hH]?){0,${MAX_PATH_LEVELS}}\])?`;
const KEY = String.raw`${ORIGIN}(?<key>[xt]pub${BASE58}{107})(?<steps>(?:\/\d{1,10}){0,${MAX_PATH_LEVELS}})\/\*`;
const SHAPES: readonly (readonly [ScriptKind, RegExp])[] = [
  ['pkh', new RegExp(`^pkh\\(${KEY}\\)$`)],
  ['wpkh', new RegExp(`^wpkh\\(${KEY}\\)$`)],
  ['sh-wpkh', new RegExp(`^sh\\(wpkh\\(${KEY}\\)\\)$`)],
  ['tr', new RegExp(`^tr\\(${KEY}\\)$`)],
];
const MULTIPATH = /<(\d{1,10});(\d{1,10})>/g;

/**
 * Parses `wpkh`, `sh(wpkh)`, `tr` or `pkh` of one ranged extended public key. A checksum may be missing, but not be wrong.
 * The reasons are fixed sentences: nothing of the text is repeated, because it may be a private key.
 */
export function parseDescriptor(text: string, network: NetworkName): ParsedDescriptor | DescriptorInvalid {
  if (EXTENDED_PRIVATE_KEY.test(text) || WIF.test(text)) {
    return {
      invalid:
        'The descriptor holds a private key. Only public keys may leave the signer: take that key as known to others.',
    };
  }
  if (text.length > MAX_DESCRIPTOR_LENGTH)
    return { invalid: `The descriptor is longer than ${MAX_DESCRIPTOR_LENGTH} characters.` };
  const body = withoutChecksum(text);
  if (typeof body !== 'string') return body;
  const paths = [...body.matchAll(MULTIPATH)];
  if (paths.length === 0) return parseSinglePath(body, network, null);
  const [receive, change] = paths[0]?.slice(1).map(Number) ?? [];
  if (paths.length > 1 || receive === undefined || change === undefined || receive === change) {
    return { invalid: 'There may be one multipath step, and its two branches must differ: <0;1>.' };
  }
  return parseSinglePath(body.replace(MULTIPATH, String(receive)), network, body.replace(MULTIPATH, String(change)));
}

function parseSinglePath(
  receiveText: string,
  network: NetworkName,
  changeText: string | null,
): ParsedDescriptor | DescriptorInvalid {
  const receive = parseOne(receiveText, network);
  if ('invalid' in receive) return receive;
  if (changeText === null) return { receive, change: null };
  const change = parseOne(changeText, network);
  return 'invalid' in change ? change : { receive, change };
}

function withoutChecksum(text: string): string | DescriptorInvalid {
  const [body, given, ...more] = text.split('#');
  if (body === undefined || more.length > 0) return { invalid: 'The descriptor has more than one #.' };
  if (given === undefined) return body;
  // The checksum of what cannot be one throws; the shape is checked right after, so an odd character is told there.
  return /^[\x20-\x7e]*$/.test(body) && checksum(body) === given
    ? body
    : { invalid: 'The checksum after # is not that of the descriptor.' };
}

function parseOne(body: string, network: NetworkName): Descriptor | DescriptorInvalid {
  const shape = SHAPES.map(([kind, pattern]) => ({ kind, groups: pattern.exec(body)?.groups })).find(
    ({ groups }) => groups !== undefined,
  );
  if (shape?.groups === undefined) {
    return {
      invalid:
        'It must be pkh, wpkh, sh(wpkh) or tr of one extended public key (xpub or tpub) that ends in /*, without hardened steps after the key.',
    };
  }
  const wanted = network === 'mainnet' ? 'xpub' : 'tpub';
  if (shape.groups['key']?.startsWith(wanted) !== true) {
    return { invalid: `The key is not one of this network (${network}): it must begin with ${wanted}.` };
  }
  const steps = (shape.groups['steps'] ?? '').split('/').slice(1).map(Number);
  if (steps.some((step) => step > 0x7fff_ffff)) return { invalid: 'A step of the path is 2^31 or more.' };
  const node = extendedKey(body, network);
  if (node === undefined) return { invalid: 'The extended public key is damaged.' };
  const parent = steps.reduce((key, step) => key.derive(step), node);
  return { text: `${body}#${checksum(body)}`, kind: shape.kind, parent };
}

function extendedKey(body: string, network: NetworkName): BIP32Interface | undefined {
  try {
    const key = expand({ descriptor: body, network: NETWORK_PARAMETERS[network] }).expansionMap?.['@0']?.bip32;
    return key === undefined ? undefined : (key as BIP32Interface);
  } catch {
    // Its messages repeat the key; what is left for it to find is a wrong checksum or point of the key.
    return undefined;
  }
}
