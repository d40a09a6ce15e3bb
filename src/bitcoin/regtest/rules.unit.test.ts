import { script, Transaction } from 'bitcoinjs-lib';
import { describe, expect, it } from 'vitest';
import { dustLimitSats } from '../payment/dust.js';
import { parseBlock, pushHeight } from './block.js';
import { createBlockClock } from './block-clock.js';
import { mineBlock, selectTransactions } from './block-template.js';
import type { MempoolEntry } from './mempool.js';
import { blockSubsidySats, REGTEST_GENESIS_HASH, REGTEST_GENESIS_HEX } from './parameters.js';
import { isChainRejection } from './rejection.js';
import { countLegacySigops } from './sigops.js';
import { describeTransaction, isFinal, parseTransaction, sequenceLocksReached } from './transaction.js';

const hex = (text: string): Buffer => Buffer.from(text, 'hex');

describe('genesis', () => {
  it('is a valid block with the hash that every regtest node has', () => {
    const genesis = parseBlock(hex(REGTEST_GENESIS_HEX));
    expect(genesis).toMatchObject({ hash: REGTEST_GENESIS_HASH, time: 1_296_688_602, prevHash: '0'.repeat(64) });
  });

  it('is no block any more when any single bit of it is another', () => {
    const raw = hex(REGTEST_GENESIS_HEX);
    for (let bit = 0; bit < raw.length * 8; bit += 1) {
      const changed = Buffer.from(raw);
      const at = Math.floor(bit / 8);
      changed.writeUInt8(changed.readUInt8(at) ^ (1 << (bit % 8)), at);
      const block = parseBlock(changed);
      // Half of the changed headers have work by chance: such a block is another one, never this one.
      if (!isChainRejection(block)) expect(block.hash).not.toBe(REGTEST_GENESIS_HASH);
    }
  });
});

describe('the subsidy', () => {
  it.each([
    [0, 5_000_000_000n],
    [149, 5_000_000_000n],
    [150, 2_500_000_000n],
    [300, 1_250_000_000n],
    [149 + 150 * 32, 1n],
    [150 * 33, 0n],
    [150 * 64, 0n],
    [1_000_000, 0n],
  ])('of block %d is %d', (height, sats) => expect(blockSubsidySats(height)).toBe(sats));
});

describe('the height in a coinbase (BIP34)', () => {
  it.each([
    [1, '51'],
    [16, '60'],
    [17, '0111'],
    [127, '017f'],
    [128, '028000'],
    [255, '02ff00'],
    [256, '020001'],
    [32_767, '02ff7f'],
    [32_768, '03008000'],
    [8_388_608, '0400008000'],
  ])('%d is pushed as %s', (height, pushed) => expect(pushHeight(height).toString('hex')).toBe(pushed));

  it('is what the library pushes, too', () => {
    for (let height = 17; height < 70_000; height += 13) {
      expect(pushHeight(height)).toEqual(Buffer.from(script.compile([script.number.encode(height)])));
    }
  });
});

describe('dust', () => {
  it.each([
    ['p2wpkh', `0014${'00'.repeat(20)}`, 294n],
    ['p2wsh', `0020${'00'.repeat(32)}`, 330n],
    ['p2tr', `5120${'00'.repeat(32)}`, 330n],
    ['p2pkh', `76a914${'00'.repeat(20)}88ac`, 546n],
    ['p2sh', `a914${'00'.repeat(20)}87`, 540n],
    ['OP_RETURN', '6a0100', 0n],
  ])('of %s begins below %d', (_, output, sats) => expect(dustLimitSats(hex(output))).toBe(sats));
});

describe('signature operations', () => {
  it.each([
    ['p2pkh', `76a914${'00'.repeat(20)}88ac`, 1],
    ['bare multisig, at its worst', `5121${'02'.repeat(33)}51ae`, 20],
    ['inside a push', '02acac', 0],
    ['inside pushes of every form', '4c01ac4d0100ac4e01000000ac', 0],
    ['before a push that is cut', 'ac4c', 1],
    ['after a push that is too long', 'ac05acac', 1],
    ['none', '', 0],
  ])('of %s', (_, output, count) => {
    const tx = new Transaction();
    tx.addOutput(hex(output), 0n);
    expect(countLegacySigops(tx)).toBe(count);
  });
});

describe('lock times', () => {
  const withLock = (locktime: number, sequence: number): Transaction => {
    const tx = new Transaction();
    tx.locktime = locktime;
    tx.addInput(new Uint8Array(32), 0, sequence);
    return tx;
  };
  it.each([
    ['none', 0, 0, true],
    ['a height below', 99, 0, true],
    ['this very height', 100, 0, false],
    ['this very height, but final', 100, 0xffffffff, true],
    ['a time before the median', 1_499_999_999, 0, true],
    ['the median itself', 1_500_000_000, 0, false],
  ])('%s', (_, locktime, sequence, reached) => {
    expect(isFinal(withLock(locktime, sequence), 100, 1_500_000_000)).toBe(reached);
  });

  const TIME = 1 << 22;
  it.each([
    ['five blocks after four', 5, 2, 96, false],
    ['five blocks after five', 5, 2, 95, true],
    ['version 1 has none', 5, 1, 99, true],
    ['switched off', 0x80000005, 2, 99, true],
    // The median past rises by ten minutes a block: 2 × 512 s since the block before the coin's.
    ['1,024 seconds after 600', TIME | 2, 2, 99, false],
    ['1,024 seconds after 1,200', TIME | 2, 2, 98, true],
  ])('relative: %s', (_, sequence, version, coinHeight, reached) => {
    const tx = withLock(0, sequence);
    tx.version = version;
    expect(sequenceLocksReached(tx, [coinHeight], 100, (height) => 1_500_000_000 + height * 600)).toBe(reached);
  });
});

describe('a transaction', () => {
  it('has one serialisation only: what reads the same but is written otherwise is none', () => {
    const tx = new Transaction();
    tx.addInput(new Uint8Array(32).fill(1), 0);
    tx.addOutput(hex('51'), 5n);
    const raw = Buffer.from(tx.toBuffer());
    expect(parseTransaction(raw)?.txid).toBe(tx.getId());
    // The number of inputs, as three bytes instead of one.
    expect(parseTransaction(Buffer.concat([raw.subarray(0, 4), hex('fd0100'), raw.subarray(5)]))).toBeUndefined();
  });
});

function entry(fill: number, facts: Partial<MempoolEntry> = {}, parent?: string): MempoolEntry {
  const tx = new Transaction();
  tx.addInput(parent ? hex(parent).reverse() : new Uint8Array(32).fill(fill), 0);
  tx.addOutput(hex('51'), BigInt(fill));
  return { ...describeTransaction(tx), raw: tx.toBuffer(), feeSats: 100n, sigopsCost: 4, ...facts };
}

describe('a block', () => {
  it('takes what fits, and nothing that builds on what was left out', () => {
    const large = entry(2, { weight: 3_960_000 });
    const child = entry(3, {}, large.txid);
    const grandchild = entry(4, {}, child.txid);
    const small = entry(5);
    expect(selectTransactions([entry(1), large, child, grandchild, small]).map(({ txid }) => txid)).toEqual([
      entry(1).txid,
      small.txid,
    ]);
  });

  it('takes no more signature operations than a block may have', () => {
    const many = [1, 2, 3, 4, 5, 6].map((fill) => entry(fill, { sigopsCost: 16_000 }));
    expect(selectTransactions(many)).toHaveLength(4);
  });

  it('has a hash below the target, whatever goes into it', () => {
    for (let extraNonce = 0; extraNonce < 50; extraNonce += 1) {
      const raw = mineBlock({
        parentHash: REGTEST_GENESIS_HASH,
        height: 1,
        time: 1_400_000_000,
        extraNonce,
        payoutScript: hex('51'),
        transactions: [],
      });
      expect(isChainRejection(parseBlock(raw))).toBe(false);
    }
  });
});

describe('the dates of blocks', () => {
  it('go up to now in a long run, six blocks a second, and never below what is allowed', () => {
    const timeOf = createBlockClock(() => 1_000_500, undefined).timesFor(13);
    const times = Array.from({ length: 13 }, (_, index) => timeOf(index, 0));
    expect(times).toEqual([998, 999, 999, 999, 999, 999, 999, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000]);
    expect(createBlockClock(() => 1_000_500, undefined).timesFor(1)(5, 4_000)).toBe(4_000);
  });

  it.each([
    [1_333_238_399, 600],
    [1_400_000_000, 0],
    [1_400_000_000, 0.5],
  ])('do not begin at %d with steps of %d', (startSeconds, stepSeconds) => {
    expect(() => createBlockClock(() => 0, { kind: 'fixed', startSeconds, stepSeconds })).toThrow(/after 1 April 2012/);
  });
});
