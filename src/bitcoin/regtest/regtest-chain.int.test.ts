import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Block } from 'bitcoinjs-lib';
import { describe, expect, it } from 'vitest';
import { accepted, coinFrom, fundTestWallet } from '../../../test/support/regtest-coins.js';
import { createTestWallet, SCRIPT_TYPES } from '../../../test/support/regtest-wallet.js';
import { openTestChain, temporaryDirectory } from '../../../test/support/test-chain.js';
import { MAX_BLOCKS_PER_CALL } from './limits.js';
import type { RegtestChain } from './regtest-chain.js';

const wallet = createTestWallet();
const ADDRESS = wallet.addressOf('p2wpkh', 1);

async function blockAt(chain: RegtestChain, height: number): Promise<Block> {
  const raw = await chain.block(chain.hashAt(height) ?? '');
  if (!raw) throw new Error(`no block at ${height}`);
  return Block.fromBuffer(raw);
}

describe('a new chain', () => {
  it('has a miner with money, so that the first payment needs no block to be mined', async () => {
    const chain = await openTestChain();
    expect(chain.tip().height).toBe(110);
    const { txid } = accepted(await chain.pay({ address: ADDRESS, amountSats: 123_456_789n }));
    expect(chain.mempool.has(txid)).toBe(true);
  });

  it('keeps the seed of its miner for the owner of the files only', async () => {
    const chain = await openTestChain();
    expect(statSync(join(chain.directory, 'miner-seed')).mode & 0o777).toBe(0o600);
  });

  it('is the same chain every time, where times and seed are given', async () => {
    const [first, second] = [await openTestChain(), await openTestChain()];
    expect(first.directory).not.toBe(second.directory);
    expect(second.tip()).toEqual(first.tip());
  });

  it('dates its blocks up to now where the clock is live, every one above the median of those before', async () => {
    const now = 1_800_000_000;
    const chain = await openTestChain({ now: () => now * 1_000, blockTimes: { kind: 'live' } });
    accepted(await chain.mine({ blocks: 40 }));
    const times = Array.from({ length: 151 }, (_, height) => chain.blockInfo(chain.hashAt(height) ?? '')?.time ?? 0);
    expect(times[1]).toBe(now - 109 * 600);
    expect(times[110]).toBe(now);
    for (let height = 1; height <= 150; height += 1) {
      const before = times.slice(Math.max(height - 11, 0), height).sort((a, b) => a - b);
      expect(times[height]).toBeGreaterThan(before[Math.floor(before.length / 2)] ?? 0);
    }
  });
});

describe('mining', () => {
  it('puts the mempool into the block, pays subsidy and fees to the address, and commits to witnesses', async () => {
    const chain = await openTestChain();
    const coin = await fundTestWallet(chain, wallet, { type: 'p2wpkh', index: 1, amountSats: 100_000n });
    const spend = wallet.spend([coin], [{ address: ADDRESS, amountSats: 90_000n }]);
    accepted(await chain.submitTransaction(spend));
    const fees = chain.mempool.list().reduce((sum, { feeSats }) => sum + feeSats, 0n);
    accepted(await chain.mine({ blocks: 1, address: ADDRESS }));
    const block = await blockAt(chain, 111);
    const coinbase = block.transactions?.[0];
    expect(block.transactions).toHaveLength(3);
    expect(coinbase?.outs[0]?.value).toBe(5_000_000_000n + fees);
    expect(block.checkTxRoots()).toBe(true);
    expect(block.hasWitnessCommit()).toBe(true);
    expect(chain.mempool.size).toBe(0);
    await expect(
      coinFrom(chain, { txid: coinbase?.getId() ?? '', address: ADDRESS, type: 'p2wpkh', index: 1 }),
    ).resolves.toBeDefined();
  });

  it('halves the subsidy every 150 blocks', async () => {
    const chain = await openTestChain();
    accepted(await chain.mine({ blocks: 340 }));
    const subsidies = await Promise.all(
      [149, 150, 299, 300, 449, 450].map(
        async (height) => (await blockAt(chain, height)).transactions?.[0]?.outs[0]?.value,
      ),
    );
    expect(subsidies).toEqual([50, 25, 25, 12.5, 12.5, 6.25].map((coins) => BigInt(coins * 1e8)));
  });

  it('mines what it is told to instead of the mempool: an original that was replaced can still be mined', async () => {
    const chain = await openTestChain();
    const coin = await fundTestWallet(chain, wallet, { type: 'p2tr', index: 1, amountSats: 100_000n });
    accepted(await chain.mine({ blocks: 1 }));
    const original = wallet.spend([coin], [{ address: ADDRESS, amountSats: 99_000n }]);
    const replacement = wallet.spend([coin], [{ address: ADDRESS, amountSats: 90_000n }]);
    const { txid } = accepted(await chain.submitTransaction(original));
    expect(accepted(await chain.submitTransaction(replacement)).replaced).toEqual([txid]);
    accepted(await chain.mine({ blocks: 1, transactions: [original] }));
    expect(chain.mempool.size).toBe(0);
    const found = await chain.findTransaction(txid);
    expect(found?.blockHash).toBe(chain.tip().hash);
  });

  it('mines an empty block when told to hold nothing', async () => {
    const chain = await openTestChain();
    accepted(await chain.pay({ address: ADDRESS, amountSats: 5_000n }));
    accepted(await chain.mine({ blocks: 1, transactions: [] }));
    expect((await blockAt(chain, 111)).transactions).toHaveLength(1);
    expect(chain.mempool.size).toBe(1);
  });

  it.each([0, -1, 1.5, Number.NaN, MAX_BLOCKS_PER_CALL + 1])(
    'refuses %d blocks, and nothing changes',
    async (blocks) => {
      const chain = await openTestChain();
      expect(await chain.mine({ blocks })).toMatchObject({ rejected: 'block-count-invalid' });
      expect(chain.tip().height).toBe(110);
    },
  );

  it('refuses an address of another network', async () => {
    const chain = await openTestChain();
    const mainnet = 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4';
    for (const address of [
      mainnet,
      '',
      'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7k',
      'bcrt1zw508d6qejxtdg4y5r3zarvaryvg6kdaj',
    ]) {
      expect(await chain.mine({ blocks: 1, address })).toMatchObject({ rejected: 'address-invalid' });
      expect(await chain.pay({ address, amountSats: 10_000n })).toMatchObject({ rejected: 'address-invalid' });
    }
  });

  it('refuses to run two hours ahead of the clock, where nodes would refuse its blocks', async () => {
    let now = 1_800_000_000_000;
    const chain = await openTestChain({ blockTimes: { kind: 'live' }, now: () => now });
    // The tip is dated 7,100 seconds ahead now; six blocks take a second.
    now -= 7_100_000;
    expect(await chain.mine({ blocks: 700 })).toMatchObject({ rejected: 'clock-too-far-ahead' });
    expect(await chain.reorg({ depth: 1, blocks: 700 })).toMatchObject({ rejected: 'clock-too-far-ahead' });
    expect(chain.tip().height).toBe(110);
    accepted(await chain.mine({ blocks: 500 }));
    expect(chain.blockInfo(chain.tip().hash)?.time).toBeLessThanOrEqual(now / 1_000 + 7_200);
  });
});

describe('paying', () => {
  it('pays to every kind of address, exactly the amount', async () => {
    const chain = await openTestChain();
    const coins = [];
    for (const type of SCRIPT_TYPES)
      coins.push(await fundTestWallet(chain, wallet, { type, index: 3, amountSats: 70_000n }));
    accepted(await chain.mine({ blocks: 1 }));
    for (const { txid, vout } of coins) {
      expect(chain.coin(txid, vout)).toMatchObject({ amountSats: 70_000n, height: 111, coinbase: false });
    }
  });

  it('goes on without a block in between, far more often than there are mature coins', async () => {
    const chain = await openTestChain();
    for (let count = 0; count < 60; count += 1) accepted(await chain.pay({ address: ADDRESS, amountSats: 1_000_000n }));
    expect(chain.mempool.size).toBe(60);
    accepted(await chain.mine({ blocks: 1 }));
    expect((await blockAt(chain, 111)).transactions).toHaveLength(61);
  });

  it.each([
    [0n, 'amount-invalid'],
    [-5n, 'amount-invalid'],
    [293n, 'dust'],
    [2_100_000_000_000_001n, 'amount-invalid'],
    [56_000_000_000n, 'miner-out-of-funds'],
  ])('of %d satoshis is refused: %s', async (amountSats, rejected) => {
    const chain = await openTestChain();
    expect(await chain.pay({ address: ADDRESS, amountSats })).toMatchObject({ rejected });
    expect(chain.mempool.size).toBe(0);
  });

  it('spends many coins at once where one is not enough, and no immature one', async () => {
    const chain = await openTestChain();
    accepted(await chain.pay({ address: ADDRESS, amountSats: 54_900_000_000n }));
    accepted(await chain.mine({ blocks: 1 }));
    expect((await blockAt(chain, 111)).transactions?.[1]?.ins).toHaveLength(11);
  });
});

describe('a reorg', () => {
  it('puts the transactions of the lost blocks back, and into the new blocks', async () => {
    const chain = await openTestChain();
    const { txid } = accepted(await chain.pay({ address: ADDRESS, amountSats: 5_000n }));
    const lost = accepted(await chain.mine({ blocks: 3 })).hashes;
    const { disconnected, connected } = accepted(await chain.reorg({ depth: 3, blocks: 4 }));
    expect(disconnected).toEqual(lost.toReversed());
    expect(connected).toHaveLength(4);
    expect(chain.tip()).toEqual({ hash: connected[3], height: 114 });
    expect((await chain.findTransaction(txid))?.blockHash).toBe(connected[0]);
    // Stale blocks are still served.
    for (const hash of lost) {
      expect(await chain.block(hash)).toBeDefined();
      expect(chain.blockInfo(hash)).toMatchObject({ onBestChain: false });
    }
  });

  it('forgets them when told to, and with them what builds on them', async () => {
    const chain = await openTestChain();
    const coin = await fundTestWallet(chain, wallet, { type: 'p2pkh', index: 2, amountSats: 50_000n });
    accepted(await chain.mine({ blocks: 1 }));
    const child = accepted(
      await chain.submitTransaction(wallet.spend([coin], [{ address: ADDRESS, amountSats: 40_000n }])),
    );
    accepted(await chain.reorg({ depth: 1, blocks: 2, dropTransactions: true }));
    expect(await chain.findTransaction(coin.txid)).toBeUndefined();
    expect(await chain.findTransaction(child.txid)).toBeUndefined();
    expect(chain.coin(coin.txid, coin.vout)).toBeUndefined();
  });

  it('makes a transaction impossible whose coinbase it takes away', async () => {
    const chain = await openTestChain({ preminedBlocks: 0 });
    accepted(await chain.mine({ blocks: 100 }));
    accepted(await chain.mine({ blocks: 1 }));
    const { txid } = accepted(await chain.pay({ address: ADDRESS, amountSats: 5_000n }));
    accepted(await chain.mine({ blocks: 1 }));
    accepted(await chain.reorg({ depth: 102, blocks: 103 }));
    expect(await chain.findTransaction(txid)).toBeUndefined();
    // The new branch has coinbases of its own.
    accepted(await chain.pay({ address: ADDRESS, amountSats: 5_000n }));
  });

  it('of a reorg leads back to a third branch, and coins are right', async () => {
    const chain = await openTestChain();
    const coin = await fundTestWallet(chain, wallet, { type: 'p2wpkh', index: 1, amountSats: 50_000n });
    accepted(await chain.mine({ blocks: 2 }));
    accepted(await chain.reorg({ depth: 2, blocks: 3, dropTransactions: true }));
    expect(chain.coin(coin.txid, coin.vout)).toBeUndefined();
    accepted(await chain.reorg({ depth: 3, blocks: 4 }));
    accepted(await chain.mine({ blocks: 1, transactions: [Buffer.from(coin.rawParent).toString('hex')] }));
    expect(chain.coin(coin.txid, coin.vout)).toMatchObject({ amountSats: 50_000n, height: 115, coinbase: false });
  });

  it.each([
    [{ depth: 0, blocks: 1 }, 'reorg-depth-invalid'],
    [{ depth: 111, blocks: 200 }, 'reorg-depth-invalid'],
    [{ depth: 1.5, blocks: 3 }, 'reorg-depth-invalid'],
    [{ depth: 3, blocks: 3 }, 'reorg-not-longer'],
    [{ depth: 3, blocks: 0 }, 'block-count-invalid'],
  ])('%j is refused: %s', async (request, rejected) => {
    const chain = await openTestChain();
    const before = chain.tip();
    expect(await chain.reorg(request)).toMatchObject({ rejected });
    expect(chain.tip()).toEqual(before);
  });

  it('may go down to genesis', async () => {
    const chain = await openTestChain();
    accepted(await chain.reorg({ depth: 110, blocks: 111 }));
    expect(chain.tip().height).toBe(111);
  });
});

describe('calls', () => {
  it('made at the same time run one after the other', async () => {
    const chain = await openTestChain();
    const results = await Promise.all([
      chain.mine({ blocks: 600 }),
      chain.pay({ address: ADDRESS, amountSats: 5_000n }),
      chain.reorg({ depth: 2, blocks: 3 }),
      chain.mine({ blocks: 1 }),
    ]);
    for (const result of results) accepted(result);
    expect(chain.tip().height).toBe(110 + 600 + 1 + 1);
  });

  it('wake whoever listens, once for each change of the tip and after it', async () => {
    const chain = await openTestChain();
    const seen: number[] = [];
    const stop = chain.onTipChanged(() => seen.push(chain.tip().height));
    accepted(await chain.mine({ blocks: 3 }));
    accepted(await chain.pay({ address: ADDRESS, amountSats: 5_000n }));
    accepted(await chain.reorg({ depth: 1, blocks: 2 }));
    stop();
    accepted(await chain.mine({ blocks: 1 }));
    expect(seen).toEqual([113, 114]);
  });

  it('fail clearly when another process has taken the directory over', async () => {
    const directory = temporaryDirectory();
    const chain = await openTestChain({ directory });
    writeFileSync(join(directory, 'lock'), '1 1 somebody-else\n');
    await expect(chain.mine({ blocks: 1 })).rejects.toThrow('Another process has taken over');
    expect(chain.tip().height).toBe(110);
  });
});
