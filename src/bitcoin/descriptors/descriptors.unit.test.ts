import * as ecc from '@bitcoinerlab/secp256k1';
import { checksum, Output } from '@bitcoinerlab/descriptors';
import { BIP32Factory } from 'bip32';
import { networks } from 'bitcoinjs-lib';
import { describe, expect, it } from 'vitest';
import type { NetworkName } from '../network.js';
import { deriveAddress, derivePublicKeys, deriveScript, deriveScripts } from './derive-script.js';
import { descriptorKey } from './descriptor-key.js';
import { NETWORK_PARAMETERS } from './network-parameters.js';
import { parseDescriptor, type ParsedDescriptor } from './parse-descriptor.js';

const bip32 = BIP32Factory(ecc);
/** BIP39 seed of "abandon abandon … about" without passphrase: what the vectors of BIP49, BIP84 and BIP86 use. */
const SEED = Buffer.from(
  '5eb00bbddcf069084889a8ab9155568165f5c453ccb85e70811aaed6f6da5fc19a5ac40b389cd370d086206dec8aa6c43daea6690f20ad3d8d48b2d2ce9e38e4',
  'hex',
);
const accountKey = (path: string, network = networks.bitcoin): string =>
  bip32.fromSeed(SEED, network).derivePath(path).neutered().toBase58();

const XPUB84 = accountKey("m/84'/0'/0'");
const TPUB84 = accountKey("m/84'/1'/0'", networks.testnet);

function parsed(text: string, network: NetworkName): ParsedDescriptor {
  const result = parseDescriptor(text, network);
  if ('invalid' in result) throw new Error(result.invalid);
  return result;
}

function addresses(text: string, network: NetworkName): string[] {
  const { receive, change } = parsed(text, network);
  const branches = change === null ? [receive] : [receive, change];
  return branches.flatMap((branch) => [0, 1].map((index) => deriveAddress(branch, index, network).address));
}

describe('official vectors', () => {
  it('BIP84: wpkh', () => {
    expect(addresses(`wpkh(${XPUB84}/<0;1>/*)`, 'mainnet').slice(0, 3)).toEqual([
      'bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu',
      'bc1qnjg0jd8228aq7egyzacy8cys3knf9xvrerkf9g',
      'bc1q8c6fshw2dlwun7ekn9qwf37cu2rn755upcp6el',
    ]);
  });

  it('BIP86: tr', () => {
    const key =
      'xpub6BgBgsespWvERF3LHQu6CnqdvfEvtMcQjYrcRzx53QJjSxarj2afYWcLteoGVky7D3UKDP9QyrLprQ3VCECoY49yfdDEHGCtMMj92pReUsQ';
    expect(accountKey("m/86'/0'/0'")).toBe(key);
    expect(addresses(`tr(${key}/<0;1>/*)`, 'mainnet').slice(0, 3)).toEqual([
      'bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr',
      'bc1p4qhjn9zdvkux4e44uhx8tc55attvtyu358kutcqkudyccelu0was9fqzwh',
      'bc1p3qkhfews2uk44qtvauqyr2ttdsw7svhkl9nkm9s9c3x4ax5h60wqwruhk7',
    ]);
  });

  it('BIP49: sh(wpkh) on testnet', () => {
    const key = accountKey("m/49'/1'/0'", networks.testnet);
    expect(addresses(`sh(wpkh(${key}/0/*))`, 'testnet4')[0]).toBe('2Mww8dCYPUpKHofjgcXcBCEGmniw9CoaiD2');
  });

  it('BIP44: pkh', () => {
    // BIP44 has no vectors of its own; this is the address that wallets agree on for the seed of the others.
    expect(addresses(`pkh(${accountKey("m/44'/0'/0'")}/0/*)`, 'mainnet')[0]).toBe('1LqBGSKuX5yYUonjxT5qGfpUsXKYYWeabA');
  });
});

describe('derivation', () => {
  const networksOfKeys = [
    ['mainnet', XPUB84],
    ['signet', TPUB84],
    ['testnet4', TPUB84],
    ['regtest', TPUB84],
  ] as const;
  const shapes = [
    ['pkh', (key: string) => `pkh([d34db33f/44'/0h/0H]${key}/3/7/*)`],
    ['wpkh', (key: string) => `wpkh(${key}/*)`],
    ['sh-wpkh', (key: string) => `sh(wpkh([d34db33f]${key}/0/*))`],
    ['tr', (key: string) => `tr([d34db33f/86'/0'/0']${key}/2147483647/*)`],
  ] as const;

  it.each(
    networksOfKeys.flatMap(([network, key]) => shapes.map(([kind, shape]) => [kind, network, shape(key)] as const)),
  )('%s on %s gives the scripts and addresses of the library', async (kind, network, text) => {
    const { receive } = parsed(text, network);
    expect(receive.kind).toBe(kind);
    for (const { index, script } of await deriveScripts(receive, 5, 3)) {
      const oracle = new Output({ descriptor: text, index, network: NETWORK_PARAMETERS[network] });
      expect(Buffer.from(script).toString('hex')).toBe(Buffer.from(oracle.getScriptPubKey()).toString('hex'));
      expect(deriveAddress(receive, index, network).address).toBe(oracle.getAddress());
    }
  });
});

describe('derivation of many', () => {
  it.each(['pkh', 'wpkh', 'sh(wpkh', 'tr'])('%s gives the scripts that one by one gives', async (head) => {
    const close = head.includes('(') ? '))' : ')';
    for (const [seed, from] of [
      [1, 0],
      [2, 1_000],
      [3, 0x7fff_ffff - 130],
    ] as const) {
      const key = bip32.fromSeed(Buffer.alloc(32, seed), networks.bitcoin).neutered().toBase58();
      const { receive } = parsed(`${head}(${key}/${seed}/*${close}`, 'mainnet');
      const scripts = await deriveScripts(receive, from, 130);
      expect(scripts.map(({ index }) => index)).toEqual(Array.from({ length: 130 }, (_, n) => from + n));
      for (const { index, script } of scripts) {
        expect(Buffer.from(script).toString('hex')).toBe(Buffer.from(deriveScript(receive, index)).toString('hex'));
      }
    }
    expect(await deriveScripts(parsed(`wpkh(${XPUB84}/0/*)`, 'mainnet').receive, 5, 0)).toEqual([]);
  });

  it('gives the public keys that the library gives, by index', () => {
    const { receive } = parsed(`wpkh(${XPUB84}/0/*)`, 'mainnet');
    const indexes = [7, 0, 0x7fff_ffff, 123_456];
    const keys = derivePublicKeys(receive, indexes);
    expect([...keys.keys()]).toEqual(indexes);
    for (const index of indexes) {
      expect(Buffer.from(keys.get(index) ?? []).equals(receive.parent.derive(index).publicKey)).toBe(true);
    }
  });
});

describe('parseDescriptor', () => {
  const body = `wpkh([d34db33f/84'/0'/0']${XPUB84}/0/*)`;

  it('gives canonical texts with checksum, one per branch', () => {
    const { receive, change } = parsed(`wpkh(${XPUB84}/<0;1>/*)`, 'mainnet');
    expect(receive.text).toMatch(/\/0\/\*\)#[a-z0-9]{8}$/);
    expect(change?.text).toMatch(/\/1\/\*\)#[a-z0-9]{8}$/);
    expect(parsed(receive.text, 'mainnet').receive.text).toBe(receive.text);
    expect(parsed(body, 'mainnet').change).toBeNull();
  });

  it('takes the checksum of a multipath text, which is not that of either branch', () => {
    const multipath = `wpkh(${XPUB84}/<0;1>/*)`;
    expect(parsed(`${multipath}#${checksum(multipath)}`, 'mainnet').change?.text).toMatch(/\/1\/\*\)#/);
    const ofBranch = parsed(multipath, 'mainnet').receive.text.slice(-8);
    expect(parseDescriptor(`${multipath}#${ofBranch}`, 'mainnet')).toHaveProperty('invalid');
  });

  it('refuses a wrong checksum, whichever character is wrong', () => {
    const { text } = parsed(body, 'mainnet').receive;
    for (let at = text.length - 8; at < text.length; at++) {
      const wrong = text.slice(0, at) + (text[at] === 'q' ? 'p' : 'q') + text.slice(at + 1);
      expect(parseDescriptor(wrong, 'mainnet')).toMatchObject({ invalid: expect.stringMatching(/checksum/) as string });
    }
    expect(parseDescriptor(`${body}#`, 'mainnet')).toMatchObject({
      invalid: expect.stringMatching(/checksum/) as string,
    });
    expect(parseDescriptor(`${text}#${text.slice(-8)}`, 'mainnet')).toHaveProperty('invalid');
  });

  it('refuses keys of another network', () => {
    expect(parseDescriptor(body, 'regtest')).toMatchObject({ invalid: expect.stringMatching(/tpub/) as string });
    expect(parseDescriptor(`wpkh(${TPUB84}/0/*)`, 'mainnet')).toMatchObject({
      invalid: expect.stringMatching(/xpub/) as string,
    });
  });

  it.each([
    ['hardened step after the key', `wpkh(${XPUB84}/0'/*)`],
    ['hardened range', `wpkh(${XPUB84}/0/*')`],
    ['no range', `wpkh(${XPUB84}/0/5)`],
    ['no path', `wpkh(${XPUB84})`],
    ['range in the middle', `wpkh(${XPUB84}/*/0)`],
    ['a step of 2^31', `wpkh(${XPUB84}/2147483648/*)`],
    ['a damaged key', `wpkh(${XPUB84.slice(0, -1)}1/0/*)`],
    ['a single public key', 'wpkh(0330d54fd0dd420a6e5f8d3624f5f3482cae350f79d5f0753bf5beef9c2d91af3c)'],
    ['another function', `wsh(pk(${XPUB84}/0/*))`],
    ['two keys', `wsh(multi(1,${XPUB84}/0/*,${XPUB84}/1/*))`],
    ['a script tree', `tr(${XPUB84}/0/*,pk(${XPUB84}/1/*))`],
    ['an address', 'addr(bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu)'],
    ['spaces', ` wpkh(${XPUB84}/0/*)`],
    ['a trailing bracket', `wpkh(${XPUB84}/0/*))`],
    ['the same branch twice', `wpkh(${XPUB84}/<1;1>/*)`],
    ['three branches', `wpkh(${XPUB84}/<0;1;2>/*)`],
    ['two multipath steps', `wpkh(${XPUB84}/<0;1>/<2;3>/*)`],
    ['a hardened multipath step', `wpkh(${XPUB84}/<0';1'>/*)`],
    ['a key of SLIP132', `wpkh(z${XPUB84.slice(1)}/0/*)`],
    ['a bad origin', `wpkh([d34db33]${XPUB84}/0/*)`],
    ['nothing', ''],
    ['what is not ASCII', `wpkh(${XPUB84}/0/*)₿#12345678`],
    ['too much', `wpkh(${'/0'.repeat(1_000)})`],
  ])('refuses %s', (_name, text) => {
    expect(parseDescriptor(text, 'mainnet')).toHaveProperty('invalid');
  });
});

describe('private keys', () => {
  const master = bip32.fromSeed(SEED, networks.bitcoin);
  const testMaster = bip32.fromSeed(SEED, networks.testnet);
  const secrets = [
    ['xprv', master.toBase58()],
    ['tprv', testMaster.toBase58()],
    ['zprv', `z${master.toBase58().slice(1)}`],
    ['WIF', master.derive(0).toWIF()],
    ['test WIF', testMaster.derive(0).toWIF()],
    ['uncompressed WIF', '5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ'],
    ['WIF with a typing error', master.derive(0).toWIF().slice(0, -1) + 'x'],
  ] as const;
  const places = [
    (secret: string) => `wpkh(${secret}/0/*)`,
    (secret: string) => `wpkh(${secret})`,
    (secret: string) => `sh(wpkh([d34db33f/84'/0'/0']${secret}/<0;1>/*))#abcdefgh`,
    (secret: string) => `tr(${XPUB84}/0/*,pk(${secret}))`,
    (secret: string) => secret,
    (secret: string) => `wpkh(${XPUB84}/0/*) ${secret}`,
    (secret: string) => `wpkh(${XPUB84}/0/*)#${secret}`,
    (secret: string) => 'x'.repeat(2_000) + ' ' + secret,
  ];

  it.each(secrets.flatMap(([name, secret]) => places.map((place, n) => [name, n, secret, place(secret)] as const)))(
    'refuses %s in place %i and repeats nothing of it',
    (_name, _n, secret, text) => {
      for (const network of ['mainnet', 'regtest'] as const) {
        const result = parseDescriptor(text, network);
        expect(result).toEqual({ invalid: expect.stringMatching(/private key/) as string });
        const { invalid } = result as { invalid: string };
        for (let at = 0; at + 6 <= secret.length; at++) expect(invalid).not.toContain(secret.slice(at, at + 6));
      }
    },
  );

  it('does not take public keys for private ones', () => {
    for (let n = 0; n < 300; n++) {
      // Some hold the letters "prv" by chance, in the middle.
      const key = bip32
        .fromSeed(Buffer.alloc(32, n & 0xff).fill(n >> 8, 0, 1), networks.bitcoin)
        .neutered()
        .toBase58();
      expect(parseDescriptor(`wpkh(${key}/0/*)`, 'mainnet')).toHaveProperty('receive');
    }
  });
});

describe('descriptorKey', () => {
  it('is the same for texts that derive the same scripts', () => {
    const withOrigin = parsed(`wpkh([d34db33f/84'/0'/0']${XPUB84}/0/*)`, 'mainnet').receive.text;
    const without = parsed(`wpkh(${XPUB84}/0/*)`, 'mainnet').receive.text;
    expect(withOrigin).not.toBe(without);
    expect(descriptorKey(withOrigin)).toBe(descriptorKey(without));
    expect(descriptorKey(without)).not.toBe(descriptorKey(parsed(`tr(${XPUB84}/0/*)`, 'mainnet').receive.text));
  });
});
