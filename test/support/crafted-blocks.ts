import { Block, Transaction } from 'bitcoinjs-lib';
import type { RegtestChain } from '../../src/bitcoin/regtest/regtest-chain.js';
import { createTestWallet, type TestCoin } from './regtest-wallet.js';

/**
 * Blocks made by hand with bitcoinjs-lib, right and wrong ones, to be put before the built-in chain and before real
 * nodes: they must agree on each.
 */
export interface CraftedBlock {
  name: string;
  valid: boolean;
  /** What the built-in chain says of it; Bitcoin Core's own word for it where there is one. */
  says: string;
  raw: Uint8Array;
}

const REGTEST_BITS = 0x207fffff;
const wallet = createTestWallet();

interface Draft {
  transactions: Transaction[];
  height: number;
  version: number;
  time: number;
  bits: number;
  prevHash: Buffer;
  coinbaseSats: bigint;
  coinbaseScript: Buffer;
  commit: boolean;
  reserved: Buffer;
  /** Changes the finished block before its proof of work. */
  spoil: (block: Block) => void;
  /** True: the hash is below the target. */
  work: boolean;
}

function subsidySats(height: number): bigint {
  return 5_000_000_000n >> BigInt(Math.floor(height / 150));
}

/** The height as a script pushes it, by the library's own number encoding. */
function heightPush(height: number): Buffer {
  const hex = height.toString(16).padStart(height > 0x7f ? 4 : 2, '0');
  const bytes = Buffer.from(hex, 'hex').reverse();
  return Buffer.concat([Buffer.of(bytes.length), bytes]);
}

/** Builds a block on the tip of the chain, right but for what `change` makes of it. */
export function craftBlock(chain: Pick<RegtestChain, 'tip' | 'blockInfo'>, change: Partial<Draft> = {}): Uint8Array {
  const tip = chain.tip();
  const height = tip.height + 1;
  const draft: Draft = {
    transactions: [],
    height,
    version: 0x20000000,
    time: (chain.blockInfo(tip.hash)?.time ?? 0) + 600,
    bits: REGTEST_BITS,
    prevHash: Buffer.from(tip.hash, 'hex').reverse(),
    coinbaseSats: subsidySats(height),
    coinbaseScript: Buffer.concat([heightPush(height), Buffer.from('crafted')]),
    commit: true,
    reserved: Buffer.alloc(32),
    spoil: () => undefined,
    work: true,
    ...change,
  };
  const coinbase = new Transaction();
  coinbase.version = 1;
  coinbase.addInput(new Uint8Array(32), 0xffffffff, 0xffffffff, draft.coinbaseScript);
  coinbase.addOutput(Buffer.from(`0014${'11'.repeat(20)}`, 'hex'), draft.coinbaseSats);
  const transactions = [coinbase, ...draft.transactions];
  if (draft.commit && draft.transactions.some((tx) => tx.hasWitnesses())) {
    coinbase.setWitness(0, [draft.reserved]);
    const commitment = Block.calculateMerkleRoot(transactions, true);
    coinbase.addOutput(Buffer.concat([Buffer.from('6a24aa21a9ed', 'hex'), commitment]), 0n);
  }
  const block = new Block();
  block.version = draft.version;
  block.prevHash = draft.prevHash;
  block.timestamp = draft.time;
  block.bits = draft.bits;
  block.transactions = transactions;
  block.merkleRoot = Block.calculateMerkleRoot(transactions);
  draft.spoil(block);
  // Display order: the first hex digit says whether the hash is above a target of 7fffff…
  while (/^[0-7]/.test(block.getId()) !== draft.work) block.nonce += 1;
  return block.toBuffer();
}

/**
 * One valid block and many that are not, all on the tip of the chain.
 *
 * @param coin a confirmed p2wpkh coin of the test wallet
 * @param immature a coinbase output of the test wallet with fewer than 100 blocks on it
 */
export function craftBlocks(chain: RegtestChain, coin: TestCoin, immature: TestCoin): CraftedBlock[] {
  const address = wallet.addressOf('p2wpkh', 77);
  const spendOf = (spent: TestCoin, feeSats = 1_000n, options: { locktime?: number; sequence?: number } = {}) =>
    Transaction.fromHex(wallet.spend([spent], [{ address, amountSats: spent.amountSats - feeSats }], options));
  const good = spendOf(coin);
  // Not clone(): that shares the witnesses.
  const badSignature = Transaction.fromBuffer(good.toBuffer());
  const signature = badSignature.ins[0]?.witness[0];
  if (signature) signature[20] = (signature[20] ?? 0) ^ 1;
  const overspent = Transaction.fromBuffer(good.toBuffer());
  overspent.addOutput(Buffer.alloc(22), coin.amountSats);
  const { height } = chain.tip();
  const fees = 1_000n;
  const full = subsidySats(height + 1);
  const bad = (name: string, says: string, change: Partial<Draft>): CraftedBlock => ({
    name,
    valid: false,
    says,
    raw: craftBlock(chain, change),
  });
  const coinbase = craftBlock(chain);
  return [
    bad('proof of work missing', 'high-hash', { work: false }),
    bad('bits of another network', 'bad-diffbits', { bits: 0x1f7fffff }),
    bad('version 1', 'bad-version', { version: 1 }),
    bad('time of the median past', 'time-too-old', { time: medianTimePast(chain) }),
    bad('time three hours ahead of any clock', 'time-too-new', { time: Math.floor(Date.now() / 1_000) + 3 * 3_600 }),
    bad('height of another block in the coinbase', 'bad-cb-height', {
      coinbaseScript: Buffer.concat([heightPush(height + 2), Buffer.from('x')]),
    }),
    bad('coinbase script too long', '2 to 100 bytes', {
      coinbaseScript: Buffer.concat([heightPush(height + 1), Buffer.alloc(120)]),
    }),
    bad('one satoshi too much', 'bad-cb-amount', { coinbaseSats: full + 1n }),
    bad('one satoshi more than subsidy and fees', 'bad-cb-amount', {
      transactions: [good],
      coinbaseSats: full + fees + 1n,
    }),
    bad('witnesses without a commitment', 'unexpected-witness', { transactions: [good], commit: false }),
    bad('a reserved value of 31 bytes', 'bad-witness-nonce-size', { transactions: [good], reserved: Buffer.alloc(31) }),
    bad('a commitment to other witnesses', 'bad-witness-merkle-match', {
      transactions: [good],
      spoil: (block) => block.transactions?.[0]?.setWitness(0, [Buffer.alloc(32, 1)]),
    }),
    bad('another Merkle root', 'bad-txnmrklroot', { spoil: (block) => (block.merkleRoot = Buffer.alloc(32, 7)) }),
    bad('a transaction twice', 'bad-txns-inputs-missingorspent', { transactions: [good, good] }),
    bad('a coin spent twice', 'bad-txns-inputs-missingorspent', { transactions: [good, spendOf(coin, 2_000n)] }),
    bad('a coin that never was', 'bad-txns-inputs-missingorspent', { transactions: [spendOf({ ...coin, vout: 9 })] }),
    bad('an immature coinbase spent', 'spends a coinbase', { transactions: [spendOf(immature)] }),
    bad('a bad signature', 'mandatory-script-verify-flag-failed', { transactions: [badSignature] }),
    bad('more out than in', 'satoshis and pays', { transactions: [overspent] }),
    bad('a lock time that is not reached', 'bad-txns-nonfinal', {
      transactions: [spendOf(coin, 1_000n, { locktime: height + 1 })],
    }),
    bad('a relative lock time that is not reached', 'BIP68', {
      transactions: [spendOf(coin, 1_000n, { sequence: 1_000 })],
    }),
    bad('a second coinbase', 'bad-cb-', { spoil: (block) => addSecondCoinbase(block, coinbase) }),
    bad('no transactions', 'bad-blk-length', { spoil: (block) => (block.transactions = []) }),
    {
      name: 'right',
      valid: true,
      says: '',
      raw: craftBlock(chain, { transactions: [good], coinbaseSats: full + fees }),
    },
  ];
}

function addSecondCoinbase(block: Block, other: Uint8Array): void {
  const second = Block.fromBuffer(other).transactions?.[0];
  if (second) second.ins.forEach((input) => (input.script = Buffer.from('0102030405', 'hex')));
  block.transactions = [...(block.transactions ?? []), ...(second ? [second] : [])];
  block.merkleRoot = Block.calculateMerkleRoot(block.transactions);
}

function medianTimePast(chain: RegtestChain): number {
  const { height } = chain.tip();
  const times = Array.from({ length: 11 }, (_, back) => chain.blockInfo(chain.hashAt(height - back) ?? '')?.time ?? 0);
  return times.sort((a, b) => a - b)[5] ?? 0;
}
