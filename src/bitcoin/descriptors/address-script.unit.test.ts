import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NETWORK_NAMES } from '../network.js';
import { addressToScript, scriptToAddress } from './address-script.js';

const hex = (bytes: Uint8Array | undefined): string | undefined => bytes && Buffer.from(bytes).toString('hex');
const bytes = (text: string): Uint8Array => Buffer.from(text, 'hex');

/** BIP350, test vectors for segregated witness addresses. */
const BIP350_VALID = [
  ['mainnet', 'BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4', '0014751e76e8199196d454941c45d1b3a323f1433bd6'],
  [
    'signet',
    'tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7',
    '00201863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262',
  ],
  [
    'mainnet',
    'bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y',
    '5128751e76e8199196d454941c45d1b3a323f1433bd6751e76e8199196d454941c45d1b3a323f1433bd6',
  ],
  ['mainnet', 'BC1SW50QGDZ25J', '6002751e'],
  ['mainnet', 'bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs', '5210751e76e8199196d454941c45d1b3a323'],
  [
    'testnet4',
    'tb1qqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesrxh6hy',
    '0020000000c4a5cad46221b2a187905e5266362b99d5e91c6ce24d165dab93e86433',
  ],
  [
    'testnet4',
    'tb1pqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesf3hn0c',
    '5120000000c4a5cad46221b2a187905e5266362b99d5e91c6ce24d165dab93e86433',
  ],
  [
    'mainnet',
    'bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0',
    '512079be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798',
  ],
] as const;

/** BIP350, invalid addresses: wrong prefix, checksum, version, length, padding, mixed case … */
const BIP350_INVALID = [
  'tc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq5zuyut',
  'bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd',
  'tb1z0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqglt7rf',
  'BC1S0XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ54WELL',
  'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh',
  'tb1q0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq24jc47',
  'bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4',
  'BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R',
  'bc1pw5dgrnzv',
  'bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v8n0nx0muaewav253zgeav',
  'BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P',
  'tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq47Zagq',
  'bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v07qwwzcrf',
  'tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vpggkg4j',
  'bc1gmk9yu',
];

describe('addresses and scripts', () => {
  it.each(BIP350_VALID)('%s %s', (network, address, script) => {
    expect(hex(addressToScript(address, network))).toBe(script);
    expect(scriptToAddress(bytes(script), network)).toBe(address.toLowerCase());
  });

  it.each(BIP350_INVALID)('refuses %s on every network', (address) => {
    for (const network of NETWORK_NAMES) expect(addressToScript(address, network)).toBeUndefined();
  });

  it('knows the oldest addresses', () => {
    const script = '76a91462e907b15cbf27d5425399ebf6f0fb50ebb88f1888ac';
    expect(hex(addressToScript('1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa', 'mainnet'))).toBe(script);
    expect(scriptToAddress(bytes(script), 'mainnet')).toBe('1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa');
    // BIP16's own example of P2SH has no address; this one is from BIP13's format: version 5.
    expect(hex(addressToScript('3P14159f73E4gFr7JterCCQh9QjiTjiZrG', 'mainnet'))).toMatch(/^a914[0-9a-f]{40}87$/);
  });

  it('refuses addresses of another network', () => {
    for (const address of ['1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa', 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4']) {
      for (const network of ['regtest', 'signet', 'testnet4'] as const) {
        expect(addressToScript(address, network)).toBeUndefined();
      }
    }
    expect(addressToScript('bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080', 'regtest')).toBeDefined();
    expect(addressToScript('bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080', 'signet')).toBeUndefined();
  });

  it.each([
    '',
    '51',
    '6a',
    '0013',
    `0015${'00'.repeat(21)}`,
    `51${'29'}${'00'.repeat(41)}`,
    'ac'.repeat(10_000),
    `21${'02'.repeat(33)}ac`,
  ])('has no address for the odd script %.20s', (script) => {
    for (const network of NETWORK_NAMES) expect(scriptToAddress(bytes(script), network)).toBeNull();
  });

  it('comes back the same from every script with an address, and never throws on any other', () => {
    const program = (size: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: size, maxLength: size });
    const withAddress = fc.oneof(
      program(20).map((hash) => Uint8Array.from([0x76, 0xa9, 20, ...hash, 0x88, 0xac])),
      program(20).map((hash) => Uint8Array.from([0xa9, 20, ...hash, 0x87])),
      fc.constantFrom(20, 32).chain((size) => program(size).map((data) => Uint8Array.from([0, size, ...data]))),
      fc
        .tuple(fc.integer({ min: 0x51, max: 0x60 }), fc.integer({ min: 2, max: 40 }))
        .chain(([opcode, size]) => program(size).map((data) => Uint8Array.from([opcode, size, ...data]))),
    );
    fc.assert(
      fc.property(withAddress, fc.constantFrom(...NETWORK_NAMES), (script, network) => {
        const address = scriptToAddress(script, network);
        expect(address).not.toBeNull();
        expect(hex(addressToScript(address ?? '', network))).toBe(hex(script));
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 50 }), fc.string({ maxLength: 100 }), (script, text) => {
        const address = scriptToAddress(script, 'mainnet');
        if (address !== null) expect(hex(addressToScript(address, 'mainnet'))).toBe(hex(script));
        const decoded = addressToScript(text, 'mainnet');
        if (decoded !== undefined) expect(scriptToAddress(decoded, 'mainnet')).toBe(text);
      }),
    );
  });
});
