import { Block } from 'bitcoinjs-lib';
import { describe, expect, it } from 'vitest';
import { checkProofOfWork, parseHeader, powLimitOf, targetOfBits, workOfBits } from './parse-header.js';

/** Mainnet's genesis block, as in Bitcoin's source. */
const GENESIS = Buffer.from(
  '01000000' +
    '0000000000000000000000000000000000000000000000000000000000000000' +
    '3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a' +
    '29ab5f49ffff001d1dac2b7c',
  'hex',
);

describe('parseHeader', () => {
  it('reads the genesis block as everybody knows it', () => {
    expect(parseHeader(GENESIS)).toEqual({
      hash: '000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f',
      version: 1,
      prevHash: '0'.repeat(64),
      merkleRoot: '4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b',
      time: 1231006505,
      bits: 0x1d00ffff,
      nonce: 2083236893,
    });
  });

  it('reads fields with the highest bit set as Bitcoin Core does: version signed, the others not', () => {
    const header = parseHeader(new Uint8Array(80).fill(0xff));
    const oracle = Block.fromBuffer(new Uint8Array(80).fill(0xff));
    expect(header).toMatchObject({ version: -1, time: 0xffffffff, bits: 0xffffffff, nonce: 0xffffffff });
    expect(header).toMatchObject({ version: oracle.version, time: oracle.timestamp, hash: oracle.getId() });
  });

  it('takes a block that begins with the header, and throws on fewer than 80 bytes', () => {
    expect(parseHeader(Buffer.concat([GENESIS, Buffer.alloc(5)]))).toEqual(parseHeader(GENESIS));
    expect(() => parseHeader(GENESIS.subarray(1))).toThrow(RangeError);
  });
});

describe('targetOfBits', () => {
  // Bitcoin Core, src/test/arith_uint256_tests.cpp, bignum_SetCompact.
  it.each([
    [0, undefined],
    [0x00123456, undefined],
    [0x01003456, undefined],
    [0x02000056, undefined],
    [0x03000000, undefined],
    [0x04000000, undefined],
    [0x00923456, undefined],
    [0x01803456, undefined],
    [0x01123456, 0x12n],
    [0x02123456, 0x1234n],
    [0x03123456, 0x123456n],
    [0x04123456, 0x12345600n],
    [0x04923456, undefined],
    [0x05009234, 0x92340000n],
    [0x20123456, 0x123456n << 232n],
    [0xff123456, undefined],
    [0x01fedcba, undefined],
    [0x2200ff00, undefined],
    [0x220000ff, 0xffn << 248n],
    [0x2100ffff, 0xffffn << 240n],
    [0x21010000, undefined],
  ])('%i', (bits, target) => {
    expect(targetOfBits(bits)).toBe(target);
  });
});

describe('workOfBits', () => {
  it('is the expected number of hashes', () => {
    expect(workOfBits(0x1d00ffff)).toBe(0x100010001n);
    expect(workOfBits(0x207fffff)).toBe(2n);
    // Mainnet, height 800,000.
    expect(workOfBits(0x17053894)).toBe((1n << 256n) / ((0x53894n << 160n) + 1n));
  });

  it('is nothing for a target that cannot be', () => {
    expect(workOfBits(0x01fedcba)).toBe(0n);
    expect(workOfBits(0)).toBe(0n);
  });
});

describe('checkProofOfWork', () => {
  const target = 0xffffn << 208n;
  const hashOf = (value: bigint): string => value.toString(16).padStart(64, '0');

  it('takes a hash up to the target, not above it', () => {
    const limit = powLimitOf('mainnet');
    expect(checkProofOfWork(parseHeader(GENESIS), limit)).toBe(true);
    expect(checkProofOfWork({ hash: hashOf(target), bits: 0x1d00ffff }, limit)).toBe(true);
    expect(checkProofOfWork({ hash: hashOf(target + 1n), bits: 0x1d00ffff }, limit)).toBe(false);
  });

  it('takes no target that is easier than the network allows, and no impossible one', () => {
    const hash = hashOf(0n);
    expect(checkProofOfWork({ hash, bits: 0x1d010000 }, powLimitOf('mainnet'))).toBe(false);
    expect(checkProofOfWork({ hash, bits: 0x1d010000 }, powLimitOf('signet'))).toBe(true);
    expect(checkProofOfWork({ hash, bits: 0x1e0377ae }, powLimitOf('signet'))).toBe(true);
    expect(checkProofOfWork({ hash, bits: 0x1e0377af }, powLimitOf('signet'))).toBe(false);
    expect(checkProofOfWork({ hash, bits: 0x207fffff }, powLimitOf('testnet4'))).toBe(false);
    expect(checkProofOfWork({ hash, bits: 0x207fffff }, powLimitOf('regtest'))).toBe(true);
    for (const bits of [0, 0x01fedcba, 0x2100ffff, 0xff123456]) {
      expect(checkProofOfWork({ hash, bits }, powLimitOf('regtest'))).toBe(false);
    }
  });
});
