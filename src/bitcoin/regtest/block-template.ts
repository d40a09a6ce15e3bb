import { Block, Transaction } from 'bitcoinjs-lib';
import { invariant } from '../../platform/assert.js';
import { pushHeight } from './block.js';
import { doubleSha256, fromDisplayHex, toDisplayHex } from './hashing.js';
import type { MempoolEntry } from './mempool.js';
import {
  BLOCK_VERSION,
  blockSubsidySats,
  MAX_BLOCK_SIGOPS_COST,
  MAX_BLOCK_WEIGHT,
  REGTEST_BITS,
  REGTEST_TARGET_HEX,
} from './parameters.js';

export interface BlockTemplate {
  parentHash: string;
  height: number;
  /** Seconds since 1970. */
  time: number;
  /** Makes the coinbase, and so the block, different from every other. */
  extraNonce: number;
  payoutScript: Uint8Array;
  /** Parents before children. */
  transactions: readonly MempoolEntry[];
}

/** Header, transaction count and the coinbase with its commitment; the payout script is at most 10,000 bytes, weighing four each. */
const RESERVED_WEIGHT = 48_000;

/** In the order given, as many as fit into a block. What builds on one that was left out is left out. */
export function selectTransactions(candidates: Iterable<MempoolEntry>): MempoolEntry[] {
  const selected: MempoolEntry[] = [];
  const leftOut = new Set<string>();
  let weight = RESERVED_WEIGHT;
  // The payout script may count as up to one legacy operation of 20 keys per byte; addresses have at most one.
  let sigopsCost = 4;
  for (const entry of candidates) {
    const fits = weight + entry.weight <= MAX_BLOCK_WEIGHT && sigopsCost + entry.sigopsCost <= MAX_BLOCK_SIGOPS_COST;
    if (!fits || entry.inputs.some((key) => leftOut.has(key.slice(0, 64)))) {
      leftOut.add(entry.txid);
      continue;
    }
    selected.push(entry);
    weight += entry.weight;
    sigopsCost += entry.sigopsCost;
  }
  return selected;
}

/** Builds a block and does its proof of work: two hashes on average, at regtest's target. */
export function mineBlock(template: BlockTemplate): Uint8Array {
  const transactions = [createCoinbase(template), ...template.transactions.map(({ tx }) => tx)];
  const block = new Block();
  block.version = BLOCK_VERSION;
  block.prevHash = fromDisplayHex(template.parentHash);
  block.timestamp = template.time;
  block.bits = REGTEST_BITS;
  block.nonce = 0;
  block.transactions = transactions;
  block.merkleRoot = Block.calculateMerkleRoot(transactions);
  const raw = block.toBuffer();
  grind(raw.subarray(0, 80));
  return raw;
}

const NONCE_OFFSET = 76;
/** Not to be reached: that would be 1,000 coins that all fall on tails. */
const MAX_NONCE_ATTEMPTS = 1_000;

function grind(header: Uint8Array): void {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  for (let nonce = 0; nonce < MAX_NONCE_ATTEMPTS; nonce += 1) {
    view.setUint32(NONCE_OFFSET, nonce, true);
    if (toDisplayHex(doubleSha256(header)) <= REGTEST_TARGET_HEX) return;
  }
  invariant(false, 'one hash in two is below the target');
}

const COINBASE_TAG = Buffer.from('/tallystick/');
const NO_SEQUENCE = 0xffffffff;
const NULL_OUTPOINT_INDEX = 0xffffffff;

function createCoinbase({ height, extraNonce, payoutScript, transactions }: BlockTemplate): Transaction {
  const coinbase = new Transaction();
  coinbase.version = 2;
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64LE(BigInt(extraNonce));
  const script = Buffer.concat([
    pushHeight(height),
    Buffer.of(COINBASE_TAG.length),
    COINBASE_TAG,
    Buffer.of(counter.length),
    counter,
  ]);
  coinbase.addInput(new Uint8Array(32), NULL_OUTPOINT_INDEX, NO_SEQUENCE, script);
  const fees = transactions.reduce((sum, { feeSats }) => sum + feeSats, 0n);
  coinbase.addOutput(payoutScript, blockSubsidySats(height) + fees);
  if (transactions.some(({ tx }) => tx.hasWitnesses())) commitToWitnesses(coinbase, transactions);
  return coinbase;
}

/** BIP141: the root over the ids with witnesses, hashed with a reserved value that stands in the coinbase's own witness. */
function commitToWitnesses(coinbase: Transaction, transactions: readonly MempoolEntry[]): void {
  coinbase.setWitness(0, [new Uint8Array(32)]);
  const commitment = Block.calculateMerkleRoot([coinbase, ...transactions.map(({ tx }) => tx)], true);
  coinbase.addOutput(Buffer.concat([Buffer.from('6a24aa21a9ed', 'hex'), commitment]), 0n);
}
