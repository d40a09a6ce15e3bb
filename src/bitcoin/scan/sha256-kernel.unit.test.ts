import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { below, randomBytesOf, seededRandom } from '../../../test/support/generated-blocks.js';
import { ARENA_ADDRESS, createSha256Kernel } from './sha256-kernel.js';

const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();
const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** FIPS 180-4 padding, written down once more. */
function padded(message: Uint8Array): Uint8Array {
  const blocks = Math.ceil((message.length + 9) / 64);
  const bytes = new Uint8Array(blocks * 64);
  bytes.set(message);
  bytes[message.length] = 0x80;
  new DataView(bytes.buffer).setBigUint64(bytes.length - 8, BigInt(message.length) * 8n);
  return bytes;
}

const kernel = createSha256Kernel();
kernel.memory.grow(32);
const memory = new Uint8Array(kernel.memory.buffer);
const LIST = ARENA_ADDRESS;
const DIGESTS = ARENA_ADDRESS + 1_024;
const MESSAGES = ARENA_ADDRESS + 8_192;

/** Double SHA-256 of messages of the same number of blocks, four at a time, by the kernel. */
function kernelHashes(messages: readonly Uint8Array[]): string[] {
  const blocks = padded(messages[0] ?? new Uint8Array()).length / 64;
  const list = new DataView(kernel.memory.buffer, LIST);
  messages.forEach((message, i) => {
    memory.set(padded(message), MESSAGES + i * blocks * 64);
    list.setUint32(4 * i, MESSAGES + i * blocks * 64, true);
  });
  kernel.messages(LIST, DIGESTS, blocks, messages.length / 4);
  return messages.map((_, i) => toHex(memory.subarray(DIGESTS + 32 * i, DIGESTS + 32 * (i + 1))));
}

describe('the SHA-256 kernel', () => {
  // NIST's examples of SHA-256: the message and its digest, which the kernel hashes once more.
  it.each([
    ['', 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
    ['abc', 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
    [
      'abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq',
      '248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1',
    ],
    [
      'abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu',
      'cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1',
    ],
    ['a'.repeat(100_000), undefined],
  ])('hashes NIST message %#', (message, digest) => {
    const bytes = Buffer.from(message);
    if (digest !== undefined) expect(toHex(sha256(bytes))).toBe(digest);
    const expected = toHex(sha256(sha256(bytes)));
    expect(kernelHashes([bytes, bytes, bytes, bytes])).toEqual([expected, expected, expected, expected]);
  });

  it('hashes messages of every length around a block as node:crypto does, each lane its own', () => {
    const random = seededRandom(1);
    for (let blocks = 1; blocks <= 5; blocks++) {
      const shortest = Math.max(0, (blocks - 1) * 64 - 8);
      for (let length = shortest; length <= blocks * 64 - 9; length++) {
        const messages = Array.from({ length: 8 }, () => randomBytesOf(random, length));
        expect(kernelHashes(messages)).toEqual(messages.map((message) => toHex(sha256(sha256(message)))));
      }
    }
  });

  it('hashes pairs of digests, many groups at once, also onto themselves', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 9 }), (seed, groups) => {
        const pairs = Array.from({ length: 4 * groups }, (_, i) => randomBytesOf(seededRandom(seed + i), 64));
        const expected = pairs.map((pair) => toHex(sha256(sha256(pair)))).join('');
        pairs.forEach((pair, i) => memory.set(pair, MESSAGES + 64 * i));
        kernel.pairs(MESSAGES, DIGESTS, groups);
        expect(toHex(memory.subarray(DIGESTS, DIGESTS + 128 * groups))).toBe(expected);
        kernel.pairs(MESSAGES, MESSAGES, groups);
        expect(toHex(memory.subarray(MESSAGES, MESSAGES + 128 * groups))).toBe(expected);
      }),
      { numRuns: 50 },
    );
  });

  it('stages a transaction as a padded message, over whatever lay there', () => {
    const random = seededRandom(2);
    for (let bodyLength = 0; bodyLength < 200; bodyLength++) {
      const transaction = randomBytesOf(random, 4 + 2 + bodyLength + below(random, 50) + 4);
      const [from, to] = [MESSAGES + 1, MESSAGES + 4_096];
      memory.set(transaction, from);
      memory.fill(0xee, to, to + 512);
      const end = from + transaction.length;
      const blocks = kernel.stage(to, from, from + 6, from + 6 + bodyLength, end);
      const stripped = Buffer.concat([
        transaction.subarray(0, 4),
        transaction.subarray(6, 6 + bodyLength),
        transaction.subarray(-4),
      ]);
      expect(toHex(memory.subarray(to, to + blocks * 64))).toBe(toHex(padded(stripped)));
      expect(memory[to + blocks * 64]).toBe(0xee);
    }
  });
});
