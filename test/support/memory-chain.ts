import { hash } from 'node:crypto';
import { Block, Transaction } from 'bitcoinjs-lib';
import { SourceError, type BlockSource, type SourceTrouble } from '../../src/bitcoin/block-source.js';

export interface MadeBlock {
  hash: string;
  prevHash: string;
  height: number;
  raw: Uint8Array;
  transactions: Transaction[];
}

export const REGTEST_GENESIS = '0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206';
/** Four times the work of a usual regtest block. */
export const HARDER_BITS = 0x201fffff;
const EASIEST_BITS = 0x207fffff;
const FIRST_TIME = 1_600_000_000;

const sha256d = (bytes: Uint8Array): Buffer => hash('sha256', hash('sha256', bytes, 'buffer'), 'buffer');
const display = (bytes: Uint8Array): string => Buffer.from(bytes).reverse().toString('hex');
const wire = (hex: string): Buffer => Buffer.from(hex, 'hex').reverse();

/** A real block with proof of work on top of `parent`; nobody signs anything in it. `tag` makes it different from its twin. */
export function makeBlock(
  parent: { hash: string; height: number },
  options: { tag?: string; transactions?: Transaction[]; coinbaseScript?: Uint8Array; bits?: number } = {},
): MadeBlock {
  const height = parent.height + 1;
  const coinbase = new Transaction();
  coinbase.addInput(new Uint8Array(32), 0xffffffff, 0xffffffff, Buffer.from(`${height} ${options.tag ?? ''}`));
  coinbase.addOutput(options.coinbaseScript ?? Uint8Array.of(0x51), 5_000_000_000n);
  const transactions = [coinbase, ...(options.transactions ?? [])];
  if (transactions.some((transaction) => transaction.hasWitnesses())) commitToWitnesses(coinbase, transactions);
  const header = Buffer.alloc(80);
  header.writeInt32LE(0x20000000, 0);
  wire(parent.hash).copy(header, 4);
  Buffer.from(Block.calculateMerkleRoot(transactions)).copy(header, 36);
  header.writeUInt32LE(FIRST_TIME + 600 * height, 68);
  const bits = options.bits ?? EASIEST_BITS;
  header.writeUInt32LE(bits, 72);
  const target = BigInt(bits & 0xffffff) << BigInt(8 * ((bits >>> 24) - 3));
  for (let nonce = 0; BigInt(`0x${display(sha256d(header))}`) > target;) header.writeUInt32LE(++nonce, 76);
  const count =
    transactions.length < 0xfd
      ? Buffer.of(transactions.length)
      : Buffer.of(0xfd, transactions.length & 0xff, transactions.length >>> 8);
  const raw = Buffer.concat([header, count, ...transactions.map((transaction) => transaction.toBuffer())]);
  return { hash: display(sha256d(header)), prevHash: parent.hash, height, raw, transactions };
}

/** BIP141: a block with witnesses says in its coinbase which. */
function commitToWitnesses(coinbase: Transaction, transactions: Transaction[]): void {
  coinbase.setWitness(0, [new Uint8Array(32)]);
  const commitment = Block.calculateMerkleRoot(transactions, true);
  coinbase.addOutput(Buffer.concat([Buffer.from('6a24aa21a9ed', 'hex'), commitment]), 0n);
}

/** Unsigned: the follower takes the node's word for signatures. */
export function makeTransaction(
  inputs: readonly { txid: string; vout: number }[],
  outputs: readonly { script: Uint8Array; amountSats: bigint }[],
): Transaction {
  const transaction = new Transaction();
  for (const { txid, vout } of inputs) transaction.addInput(wire(txid), vout);
  for (const { script, amountSats } of outputs) transaction.addOutput(script, amountSats);
  return transaction;
}

/** A peer that holds whatever blocks it is given and says what it is told to be its best chain. */
export interface MemorySource extends BlockSource {
  readonly blocksByHash: Map<string, MadeBlock>;
  /** Extends `parent` (the tip, unless given) by `count` blocks and makes the last of them the tip. */
  extend(
    count: number,
    options?: { parent?: { hash: string; height: number }; tag?: string; bits?: number },
  ): MadeBlock[];
  add(block: MadeBlock, options?: { asTip: boolean }): MadeBlock;
  setTip(block: { hash: string; height: number }): void;
  readonly best: { hash: string; height: number };
  /** From now on every call fails so; undefined mends it. */
  trouble: SourceTrouble | undefined;
  /** Called before blocks are handed out. */
  beforeBlocks: (() => Promise<void> | void) | undefined;
  calls: { headers: number; blocks: number; hashAt: number; largestBatch: number };
  wakeAll(): void;
}

export function createMemorySource(name: BlockSource['name'] = 'rpc'): MemorySource {
  const blocksByHash = new Map<string, MadeBlock>();
  const wakers = new Set<() => void>();
  let tip: { hash: string; height: number } = { hash: REGTEST_GENESIS, height: 0 };
  let path: string[] | undefined;

  /** Hashes of the best chain by height. */
  const bestChain = (): string[] => {
    if (path) return path;
    const hashes: string[] = [];
    for (let hash = tip.hash; ;) {
      const block = blocksByHash.get(hash);
      if (!block) {
        hashes[0] = hash;
        break;
      }
      hashes[block.height] = hash;
      hash = block.prevHash;
    }
    return (path = hashes);
  };
  const check = (): void => {
    if (source.trouble) throw new SourceError(source.trouble, `the peer is told to be ${source.trouble}`);
  };
  const answer = <T>(make: () => T): Promise<T> =>
    Promise.resolve().then(() => {
      check();
      return make();
    });

  const source: MemorySource = {
    name,
    blocksByHash,
    trouble: undefined,
    beforeBlocks: undefined,
    calls: { headers: 0, blocks: 0, hashAt: 0, largestBatch: 0 },
    get best() {
      return tip;
    },
    add(block, { asTip } = { asTip: true }) {
      blocksByHash.set(block.hash, block);
      if (asTip) source.setTip(block);
      return block;
    },
    setTip({ hash, height }) {
      tip = { hash, height };
      path = undefined;
      source.wakeAll();
    },
    extend(count, { parent = tip, ...options } = {}) {
      const made: MadeBlock[] = [];
      let last = parent;
      for (let i = 0; i < count; i++) {
        const block = makeBlock(last, options);
        blocksByHash.set(block.hash, block);
        made.push(block);
        last = block;
      }
      source.setTip(last);
      return made;
    },
    wakeAll() {
      for (const wake of wakers) wake();
    },
    check: () => answer(() => undefined),
    tip: () => answer(() => tip),
    hashAt: (height) =>
      answer(() => {
        source.calls.hashAt++;
        return height === 0 ? bestChain()[0] : bestChain()[height];
      }),
    headers: (hashes) =>
      answer(() => {
        source.calls.headers += hashes.length;
        return hashes.map((hash) => blocksByHash.get(hash)?.raw.subarray(0, 80));
      }),
    async blocks(hashes) {
      await source.beforeBlocks?.();
      check();
      source.calls.blocks += hashes.length;
      source.calls.largestBatch = Math.max(source.calls.largestBatch, hashes.length);
      return hashes.map((hash) => {
        const block = blocksByHash.get(hash);
        if (!block) throw new SourceError('block-missing', 'the peer does not have this block', { hash });
        return block.raw;
      });
    },
    onWake(callback) {
      wakers.add(callback);
      return () => wakers.delete(callback);
    },
    close: () => Promise.resolve(),
  };
  return source;
}
