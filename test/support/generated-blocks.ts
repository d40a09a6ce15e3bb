import { Block, crypto, Transaction } from 'bitcoinjs-lib';

/** Numbers from 0 (inclusive) to 1 (exclusive), the same ones for the same seed (mulberry32). */
export type Random = () => number;

export function seededRandom(seed: number): Random {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const below = (random: Random, limit: number): number => Math.floor(random() * limit);

export function randomBytesOf(random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => below(random, 256));
}

const REGTEST_BITS = 0x207fffff;
const BLOCK_TIME = 1_600_000_000;
const COMMITMENT_HEADER = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];

const bytes = (...parts: (number | Uint8Array)[]): Uint8Array =>
  Uint8Array.from(parts.flatMap((part) => (typeof part === 'number' ? [part] : [...part])));

/** Every kind of script that an output can carry: the common ones, those of the future, and those that nobody should make. */
export const SCRIPT_MAKERS: Readonly<Record<string, (random: Random) => Uint8Array>> = {
  p2pk: (r) => bytes(33, 2, randomBytesOf(r, 32), 0xac),
  p2pkUncompressed: (r) => bytes(65, 4, randomBytesOf(r, 64), 0xac),
  p2pkh: (r) => bytes(0x76, 0xa9, 20, randomBytesOf(r, 20), 0x88, 0xac),
  p2sh: (r) => bytes(0xa9, 20, randomBytesOf(r, 20), 0x87),
  p2wpkh: (r) => bytes(0, 20, randomBytesOf(r, 20)),
  p2wsh: (r) => bytes(0, 32, randomBytesOf(r, 32)),
  p2tr: (r) => bytes(0x51, 32, randomBytesOf(r, 32)),
  payToAnchor: () => bytes(0x51, 2, 0x4e, 0x73),
  futureWitness: (r) => bytes(0x52 + below(r, 15), 2 + below(r, 39), randomBytesOf(r, 40)),
  multisig: (r) => bytes(0x51, 33, 2, randomBytesOf(r, 32), 33, 3, randomBytesOf(r, 32), 0x52, 0xae),
  opReturn: (r) => bytes(0x6a, 40, randomBytesOf(r, 40)),
  empty: () => bytes(),
  oneByte: (r) => bytes(below(r, 256)),
  garbage: (r) => randomBytesOf(r, below(r, 120)),
  pushBeyondTheEnd: () => bytes(0x4e, 0xff, 0xff, 0xff, 0xff),
  long: (r) => randomBytesOf(r, 253 + below(r, 600)),
  longest: (r) => randomBytesOf(r, 10_000),
  tooLongToSpend: (r) => randomBytesOf(r, 10_001 + below(r, 60_000)),
};

const RARE = new Set(['long', 'longest', 'tooLongToSpend']);
const COMMON_MAKERS = Object.entries(SCRIPT_MAKERS).filter(([name]) => !RARE.has(name));

const ORDINARY_MAKERS = Object.entries(SCRIPT_MAKERS).filter(([name]) => /^p2(pkh|sh|wpkh|wsh|tr)$/.test(name));

function ordinaryScript(random: Random): Uint8Array {
  return ORDINARY_MAKERS[below(random, ORDINARY_MAKERS.length)]?.[1](random) ?? new Uint8Array();
}

export function randomScript(random: Random): Uint8Array {
  const makers = random() < 0.02 ? Object.entries(SCRIPT_MAKERS) : COMMON_MAKERS;
  return makers[below(random, makers.length)]?.[1](random) ?? new Uint8Array();
}

/** Nothing, a key and signature, a taproot spend with an annex, many items, an item of each awkward length. */
function randomWitness(random: Random): Uint8Array[] {
  const kind = below(random, 6);
  if (kind === 0) return [];
  if (kind === 1) return [randomBytesOf(random, 71), randomBytesOf(random, 33)];
  if (kind === 2) return [randomBytesOf(random, 64), bytes(0x50, randomBytesOf(random, below(random, 40)))];
  if (kind === 3) return Array.from({ length: below(random, 300) }, () => randomBytesOf(random, below(random, 3)));
  if (kind === 4) return [randomBytesOf(random, 252 + below(random, 3)), new Uint8Array()];
  return [randomBytesOf(random, 64)];
}

export interface BlockShape {
  random: Random;
  /** With the coinbase; at least 1. */
  transactions: number;
  /** How likely a transaction has witness data. 0 leaves the commitment out too. */
  witnessShare: number;
  /** Inputs and outputs of a transaction: 1 to this. */
  maxInputs?: number;
  maxOutputs?: number;
  /** Scripts and witnesses of the common forms only, as in most of the real blocks. */
  ordinary?: boolean;
}

/** Transactions of one block, of every kind of script and witness, that sometimes spend each other's outputs. */
export function generateTransactions(shape: BlockShape): Transaction[] {
  const { random } = shape;
  const coinbase = coinbaseTransaction(random);
  const transactions = [coinbase];
  const spent = new Set<string>();
  while (transactions.length < shape.transactions) {
    const tx = new Transaction();
    tx.version = below(random, 2 ** 32);
    tx.locktime = below(random, 2 ** 32);
    const inputs = 1 + below(random, shape.maxInputs ?? 3);
    for (let i = 0; i < inputs; i++) addRandomInput(tx, transactions, spent, random);
    const outputs = 1 + below(random, shape.maxOutputs ?? 4);
    for (let i = 0; i < outputs; i++) {
      const again = tx.outs[0]?.script;
      const script = again && random() < 0.1 ? again : (shape.ordinary ? ordinaryScript : randomScript)(random);
      tx.addOutput(script, BigInt(below(random, 2 ** 40)));
    }
    if (random() < shape.witnessShare) {
      const signature = (): Uint8Array[] => [randomBytesOf(random, 71), randomBytesOf(random, 33)];
      tx.ins.forEach((_, i) => tx.setWitness(i, shape.ordinary ? signature() : randomWitness(random)));
    }
    transactions.push(tx);
  }
  return transactions;
}

function addRandomInput(tx: Transaction, earlier: readonly Transaction[], spent: Set<string>, random: Random): void {
  const parent = earlier[below(random, earlier.length)];
  const scriptSig = randomBytesOf(random, random() < 0.02 ? 253 + below(random, 400) : below(random, 110));
  const sequence = below(random, 2 ** 32);
  if (parent && random() < 0.3) {
    const index = below(random, parent.outs.length);
    const outpoint = `${parent.getId()}:${index}`;
    if (!spent.has(outpoint)) {
      spent.add(outpoint);
      tx.addInput(parent.getHash(), index, sequence, scriptSig);
      return;
    }
  }
  tx.addInput(randomBytesOf(random, 32), below(random, 5), sequence, scriptSig);
}

export function coinbaseTransaction(random: Random): Transaction {
  const coinbase = new Transaction();
  coinbase.addInput(
    new Uint8Array(32),
    0xffffffff,
    0xffffffff,
    bytes(3, randomBytesOf(random, 3), randomBytesOf(random, 8)),
  );
  coinbase.addOutput(randomScript(random), 5_000_000_000n);
  return coinbase;
}

/** The commitment of BIP141, or nothing where no transaction has witness data. Changes the coinbase, the first transaction. */
export function commitToWitnesses(transactions: readonly Transaction[], random: Random): void {
  const coinbase = transactions[0];
  if (!coinbase || !transactions.some((tx) => tx.hasWitnesses())) return;
  const reserved = randomBytesOf(random, 32);
  coinbase.setWitness(0, [reserved]);
  const commitment = crypto.hash256(bytes(witnessRoot(transactions), reserved));
  // One that looks like a commitment, and is not the last one, counts for nothing.
  if (random() < 0.3) coinbase.addOutput(bytes(...COMMITMENT_HEADER, randomBytesOf(random, 32)), 0n);
  coinbase.addOutput(bytes(...COMMITMENT_HEADER, commitment, randomBytesOf(random, below(random, 3))), 0n);
  if (random() < 0.3) coinbase.addOutput(bytes(...COMMITMENT_HEADER), 0n);
}

function witnessRoot(transactions: readonly Transaction[]): Uint8Array {
  const leaves = transactions.map((tx, i) => (i === 0 ? new Uint8Array(32) : tx.getHash(true)));
  return merkleRootOf(leaves);
}

/** Bitcoin's Merkle tree, written down once more as plainly as it can be. */
export function merkleRootOf(leaves: readonly Uint8Array[]): Uint8Array {
  let level = leaves;
  while (level.length > 1) {
    const above: Uint8Array[] = [];
    for (let i = 0; i < level.length; i += 2) {
      const left = level[i] ?? new Uint8Array();
      above.push(crypto.hash256(bytes(left, level[i + 1] ?? left)));
    }
    level = above;
  }
  return level[0] ?? new Uint8Array(32);
}

/** A block of these transactions with the right Merkle root, mined at regtest's difficulty. */
export function sealBlock(transactions: readonly Transaction[], prevHash: Uint8Array = new Uint8Array(32)): Uint8Array {
  const block = new Block();
  block.version = 0x20000000;
  block.prevHash = prevHash;
  block.merkleRoot = merkleRootOf(transactions.map((tx) => tx.getHash()));
  block.timestamp = BLOCK_TIME;
  block.bits = REGTEST_BITS;
  block.transactions = [...transactions];
  return mine(block.toBuffer(false));
}

/** Finds a nonce for the header that these bytes begin with, in place. */
export function mine(block: Uint8Array): Uint8Array {
  const view = new DataView(block.buffer, block.byteOffset);
  for (let nonce = 0; ; nonce++) {
    view.setUint32(76, nonce, true);
    // The target's first byte is 7f: the hash's last byte, which people read first, must be below it.
    if ((crypto.hash256(block.subarray(0, 80))[31] ?? 0xff) < 0x7f) return block;
  }
}

/** A whole block from a seed. */
export function generateBlock(shape: BlockShape): Uint8Array {
  const transactions = generateTransactions(shape);
  commitToWitnesses(transactions, shape.random);
  return sealBlock(transactions);
}
