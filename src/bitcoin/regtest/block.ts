import { Block } from 'bitcoinjs-lib';
import { doubleSha256, toDisplayHex } from './hashing.js';
import {
  MAX_BLOCK_BYTES,
  MAX_BLOCK_SIGOPS_COST,
  MAX_BLOCK_WEIGHT,
  REGTEST_BITS,
  REGTEST_TARGET_HEX,
} from './parameters.js';
import { refuse, type ChainRejection } from './rejection.js';
import { checkTransactionAlone, describeTransaction, type ParsedTransaction } from './transaction.js';

export const HEADER_BYTES = 80;

export interface ParsedBlock {
  hash: string;
  prevHash: string;
  version: number;
  time: number;
  raw: Uint8Array;
  transactions: ParsedTransaction[];
}

/**
 * Reads a raw block and checks all that can be checked without knowing its parent: one exact serialisation, proof of
 * work, Merkle root (and that it stands for these transactions only, CVE-2012-2459), witness commitment (BIP141), weight,
 * sigops, and each transaction by itself.
 */
export function parseBlock(raw: Uint8Array): ParsedBlock | ChainRejection {
  if (raw.length <= HEADER_BYTES || raw.length > MAX_BLOCK_BYTES) return invalid('it has the wrong length');
  let block: Block;
  try {
    block = Block.fromBuffer(raw);
  } catch {
    // Cut or garbled: the parser's own words would help nobody.
    return invalid('it cannot be read');
  }
  if (Buffer.compare(block.toBuffer(), raw) !== 0) return invalid('it is not serialised as blocks are');
  const hash = toDisplayHex(doubleSha256(raw.subarray(0, HEADER_BYTES)));
  if (block.bits !== REGTEST_BITS) return invalid('bits are not those of regtest (bad-diffbits)');
  if (hash > REGTEST_TARGET_HEX) return invalid('its hash is above the target (high-hash)');
  const transactions = (block.transactions ?? []).map(describeTransaction);
  const problem = checkRoots(block) ?? checkTransactions(block, transactions);
  if (problem) return problem;
  const header = Buffer.from(raw.buffer, raw.byteOffset, HEADER_BYTES);
  return {
    hash,
    prevHash: toDisplayHex(header.subarray(4, 36)),
    version: header.readInt32LE(0),
    time: block.timestamp,
    raw,
    transactions,
  };
}

function invalid(why: string): ChainRejection {
  return refuse('block-invalid', `The block is not valid: ${why}.`);
}

function checkRoots(block: Block): ChainRejection | undefined {
  const transactions = block.transactions ?? [];
  if (transactions.length === 0) return invalid('it has no transactions (bad-blk-length)');
  const mutated = { value: false };
  const root = Block.calculateMerkleRoot(transactions, false, mutated);
  if (!block.merkleRoot || Buffer.compare(root, block.merkleRoot) !== 0)
    return invalid('Merkle root (bad-txnmrklroot)');
  if (mutated.value) return invalid('equal neighbours in the Merkle tree (bad-txns-duplicate)');
  return checkWitnessCommitment(block);
}

const COMMITMENT_HEADER = Buffer.from('6a24aa21a9ed', 'hex');
const COMMITMENT_BYTES = COMMITMENT_HEADER.length + 32;

function checkWitnessCommitment(block: Block): ChainRejection | undefined {
  const transactions = block.transactions ?? [];
  const [coinbase] = transactions;
  const commitment = coinbase?.outs.findLast(
    ({ script }) =>
      script.length >= COMMITMENT_BYTES && COMMITMENT_HEADER.equals(script.subarray(0, COMMITMENT_HEADER.length)),
  );
  if (!commitment) {
    return transactions.some((tx) => tx.hasWitnesses())
      ? invalid('witnesses without a commitment (unexpected-witness)')
      : undefined;
  }
  const reserved = coinbase?.ins[0]?.witness ?? [];
  if (reserved.length !== 1 || reserved[0]?.length !== 32) return invalid('bad-witness-nonce-size');
  const expected = Block.calculateMerkleRoot(transactions, true);
  const committed = commitment.script.subarray(COMMITMENT_HEADER.length, COMMITMENT_BYTES);
  return Buffer.compare(expected, committed) === 0
    ? undefined
    : invalid('witness commitment (bad-witness-merkle-match)');
}

function checkTransactions(block: Block, transactions: readonly ParsedTransaction[]): ChainRejection | undefined {
  if (block.weight() > MAX_BLOCK_WEIGHT) return invalid('too heavy (bad-blk-weight)');
  let sigopsCost = 0;
  for (const [index, transaction] of transactions.entries()) {
    if (transaction.coinbase !== (index === 0))
      return invalid('the first transaction, and no other, is a coinbase (bad-cb-…)');
    const problem = checkTransactionAlone(transaction);
    if (problem) return invalid(`transaction ${transaction.txid}: ${problem.detail}`);
    sigopsCost += transaction.legacySigopsCost;
  }
  return sigopsCost > MAX_BLOCK_SIGOPS_COST ? invalid('too many signature operations (bad-blk-sigops)') : undefined;
}

/** BIP34: the coinbase script begins with the height, as a script would push it. */
export function pushHeight(height: number): Buffer {
  if (height === 0) return Buffer.of(0x00);
  if (height <= 16) return Buffer.of(0x50 + height);
  const bytes: number[] = [];
  for (let rest = height; rest > 0; rest = Math.floor(rest / 256)) bytes.push(rest % 256);
  // The top bit of the last byte is the sign.
  if ((bytes.at(-1) ?? 0) >= 0x80) bytes.push(0);
  return Buffer.from([bytes.length, ...bytes]);
}
