import { hash } from 'node:crypto';
import { invariant } from '../../platform/assert.js';
import { hashHex } from './bytes.js';
import type { BlockLayout } from './read-block.js';
import { ARENA_ADDRESS, createSha256Kernel, type Sha256Kernel } from './sha256-kernel.js';

/** The hashes of a block. They lie in memory that the next block will use: take what you need before. */
export interface BlockHashes {
  /** Hash of transaction `index`, big-endian hex. */
  txid(index: number): string;
  /** As it stands in the header. */
  merkleRoot: Uint8Array;
  /** Two equal neighbours in the tree: the same root would belong to other transactions too (CVE-2012-2459). */
  duplicates: boolean;
  /** Root over the hashes with witness data, the coinbase's being 0 (BIP141); undefined where no transaction has any. */
  witnessRoot: Uint8Array | undefined;
}

const PAGE_BYTES = 65_536;
const MESSAGE_BLOCK_BYTES = 64;
const DIGEST_BYTES = 32;
const LANES = 4;

/** Padding of a message: at most one block and 8 bytes; rounded up. */
const MAX_PADDING_BYTES = 128;

/**
 * From this many blocks on, OpenSSL with the processor's SHA instructions is faster than a lane of the kernel, whatever its
 * calls cost (measured at 3 GHz: 1 µs for both and 38 ns per block, against 100 ns per block).
 */
const LONG_MESSAGE_BLOCKS = 16;

let sharedKernel: Sha256Kernel | undefined;

/** Messages in the kernel's memory, padded, to be hashed. */
interface Messages {
  count: number;
  addresses: Int32Array;
  blocks: Int32Array;
}

/**
 * Hashes every transaction of a block, and the Merkle trees. Everything happens inside the kernel's memory, four
 * hashes at once: transactions to ids, ids to roots.
 */
export function hashBlock(bytes: Uint8Array, layout: BlockLayout): BlockHashes {
  const kernel = (sharedKernel ??= createSha256Kernel());
  const count = layout.transactionCount;
  let witnesses = 0;
  for (let i = 0; i < count; i++) if (hasWitness(layout, i)) witnesses++;
  const messageCount = count + witnesses;
  const padded = (hashes: number): number => (hashes + LANES) * DIGEST_BYTES;

  const block = ARENA_ADDRESS;
  const ids = align(block + bytes.length);
  const witnessIds = ids + padded(messageCount);
  const tree = witnessIds + padded(count);
  const list = tree + padded(messageCount);
  const staging = align(list + 4 * (messageCount + LANES));
  reserve(kernel, staging + 2 * bytes.length + messageCount * MAX_PADDING_BYTES);
  const memory = new Uint8Array(kernel.memory.buffer);
  memory.set(bytes, block);

  hashMessages(kernel, stageMessages(kernel, layout, messageCount, block, staging), ids, tree, list);

  const words = new Int32Array(kernel.memory.buffer);
  // Before the first tree is made: it may write one hash behind its last leaf, where the witness ids begin.
  collectWitnessIds(words, layout, ids, witnessIds);
  const { root: merkleRoot, duplicates } = merkleTree(kernel, words, ids, tree, count);
  const witnessRoot = witnesses > 0 ? merkleTree(kernel, words, witnessIds, tree, count).root : undefined;
  const txid = (index: number): string => {
    invariant(index >= 0 && index < count, `transaction ${index} of ${count}`);
    return hashHex(memory, ids + DIGEST_BYTES * index);
  };
  return { txid, merkleRoot, duplicates, witnessRoot };
}

const align = (address: number): number => Math.ceil(address / 16) * 16;
const groupsOf = (hashes: number): number => Math.ceil(hashes / LANES);

function hasWitness(layout: BlockLayout, i: number): boolean {
  return (layout.bodyStarts[i] ?? 0) - (layout.starts[i] ?? 0) === 6;
}

function reserve(kernel: Sha256Kernel, bytes: number): void {
  const missing = bytes - kernel.memory.buffer.byteLength;
  if (missing > 0) kernel.memory.grow(Math.ceil(missing / PAGE_BYTES));
}

/** Transactions as they are hashed for their txid, in order, then those with witness data as they are hashed for their wtxid. */
function stageMessages(
  kernel: Sha256Kernel,
  layout: BlockLayout,
  count: number,
  block: number,
  staging: number,
): Messages {
  const messages: Messages = { count, addresses: new Int32Array(count), blocks: new Int32Array(count) };
  let next = 0;
  let to = staging;
  const stage = (start: number, bodyStart: number, bodyEnd: number, end: number): void => {
    const blocks = kernel.stage(to, block + start, block + bodyStart, block + bodyEnd, block + end);
    messages.addresses[next] = to;
    messages.blocks[next] = blocks;
    to += blocks * MESSAGE_BLOCK_BYTES;
    next++;
  };
  const { starts, bodyStarts, bodyEnds, ends, transactionCount } = layout;
  for (let i = 0; i < transactionCount; i++) {
    stage(starts[i] ?? 0, bodyStarts[i] ?? 0, bodyEnds[i] ?? 0, ends[i] ?? 0);
  }
  for (let i = 0; i < transactionCount; i++) {
    if (!hasWitness(layout, i)) continue;
    const start = starts[i] ?? 0;
    const end = ends[i] ?? 0;
    stage(start, start + 4, end - 4, end);
  }
  invariant(next === count, 'every message is staged');
  return messages;
}

/**
 * Hashes messages to `ids`, in their order. They are sorted by their number of blocks, so that the kernel's four lanes begin and
 * end together; what is left over of each number fills its last group with itself. `sorted` and `list` are work space.
 */
function hashMessages(kernel: Sha256Kernel, messages: Messages, ids: number, sorted: number, list: number): void {
  const words = new Int32Array(kernel.memory.buffer);
  const memory = Buffer.from(kernel.memory.buffer);
  const { count, addresses, blocks } = messages;
  const ofLength: number[][] = Array.from({ length: LONG_MESSAGE_BLOCKS }, () => []);
  for (let i = 0; i < count; i++) {
    const group = ofLength[blocks[i] ?? 0];
    if (group) group.push(i);
    else hashLongMessage(memory, messages, i, ids);
  }
  ofLength.forEach((group, length) => {
    if (group.length === 0) return;
    const groups = groupsOf(group.length);
    for (let i = 0; i < groups * LANES; i++) words[list / 4 + i] = addresses[group[i] ?? group[0] ?? 0] ?? 0;
    kernel.messages(list, sorted, length, groups);
    for (let i = 0; i < group.length; i++)
      copyDigest(words, sorted + DIGEST_BYTES * i, ids + DIGEST_BYTES * (group[i] ?? 0));
  });
}

function copyDigest(words: Int32Array, from: number, to: number): void {
  for (let i = 0; i < DIGEST_BYTES / 4; i++) words[to / 4 + i] = words[from / 4 + i] ?? 0;
}

/** `memory` is the kernel's. Digests go through strings: a buffer for each would cost more than a short hash (0.55 µs). */
function hashLongMessage(memory: Buffer, messages: Messages, index: number, ids: number): void {
  const start = messages.addresses[index] ?? 0;
  const end = start + (messages.blocks[index] ?? 0) * MESSAGE_BLOCK_BYTES;
  // The padding says how long the message is, in bits.
  const length = memory.readUInt32BE(end - 4) / 8;
  const to = ids + DIGEST_BYTES * index;
  memory.write(hash('sha256', memory.subarray(start, start + length), 'binary'), to, 'latin1');
  memory.write(hash('sha256', memory.subarray(to, to + DIGEST_BYTES), 'binary'), to, 'latin1');
}

/** Leaves of the witness tree: 0 for the coinbase, the txid of a transaction without witness data, the others' wtxids. */
function collectWitnessIds(words: Int32Array, layout: BlockLayout, ids: number, witnessIds: number): void {
  let nextWitness = layout.transactionCount;
  for (let i = 0; i < layout.transactionCount; i++) {
    const from = hasWitness(layout, i) ? nextWitness++ : i;
    copyDigest(words, ids + DIGEST_BYTES * from, witnessIds + DIGEST_BYTES * i);
  }
  words.fill(0, witnessIds / 4, (witnessIds + DIGEST_BYTES) / 4);
}

/** The root of a Merkle tree over `count` hashes at `leaves`, which stay (but for the one behind the last); `tree` is work space. */
function merkleTree(
  kernel: Sha256Kernel,
  words: Int32Array,
  leaves: number,
  tree: number,
  count: number,
): { root: Uint8Array; duplicates: boolean } {
  let duplicates = false;
  let level = leaves;
  for (let length = count; length > 1; length = Math.ceil(length / 2)) {
    duplicates ||= hasEqualPair(words, level, length);
    const end = level + DIGEST_BYTES * length;
    // An odd level's last hash is paired with itself.
    if (length % 2 === 1) words.copyWithin(end / 4, end / 4 - 8, end / 4);
    kernel.pairs(level, tree, groupsOf(Math.ceil(length / 2)));
    level = tree;
  }
  return { root: new Uint8Array(kernel.memory.buffer.slice(level, level + DIGEST_BYTES)), duplicates };
}

function hasEqualPair(words: Int32Array, level: number, length: number): boolean {
  for (let i = 0; i + 1 < length; i += 2) {
    const at = level / 4 + 8 * i;
    let equal = words[at] === words[at + 8];
    for (let j = 1; j < 8 && equal; j++) equal = words[at + j] === words[at + j + 8];
    if (equal) return true;
  }
  return false;
}
