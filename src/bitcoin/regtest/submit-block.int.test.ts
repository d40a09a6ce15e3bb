import { Block } from 'bitcoinjs-lib';
import { describe, expect, it } from 'vitest';
import { craftBlock, craftBlocks } from '../../../test/support/crafted-blocks.js';
import { accepted, coinFrom, fundTestWallet } from '../../../test/support/regtest-coins.js';
import { createTestWallet, type TestCoin } from '../../../test/support/regtest-wallet.js';
import { openTestChain, temporaryDirectory } from '../../../test/support/test-chain.js';
import type { RegtestChain } from './regtest-chain.js';

const wallet = createTestWallet();
const ADDRESS = wallet.addressOf('p2wpkh', 1);

async function chainWithCoins(): Promise<{ chain: RegtestChain; coin: TestCoin; immature: TestCoin }> {
  const chain = await openTestChain();
  const coin = await fundTestWallet(chain, wallet, { type: 'p2wpkh', index: 1, amountSats: 100_000n });
  const { hashes } = accepted(await chain.mine({ blocks: 1, address: ADDRESS }));
  const block = Block.fromBuffer((await chain.block(hashes[0] ?? '')) ?? new Uint8Array());
  const txid = block.transactions?.[0]?.getId() ?? '';
  return { chain, coin, immature: await coinFrom(chain, { txid, address: ADDRESS, type: 'p2wpkh', index: 1 }) };
}

/** Two chains with the same blocks up to here. */
async function twins(): Promise<[RegtestChain, RegtestChain]> {
  return [await openTestChain(), await openTestChain({ random: (bytes) => Buffer.alloc(bytes, 5) })];
}

function coinsOf(chain: RegtestChain): Map<string, unknown[]> {
  const entries = [...chain.coins()].map(([key, { amountSats, script, height, coinbase }]): [string, unknown[]] => [
    key,
    [amountSats, Buffer.from(script).toString('hex'), height, coinbase],
  ]);
  return new Map(entries);
}

async function move(from: RegtestChain, hashes: readonly string[], to: RegtestChain) {
  const outcomes = [];
  for (const hash of hashes) outcomes.push(await to.submitBlock((await from.block(hash)) ?? new Uint8Array()));
  return outcomes;
}

describe('a block from elsewhere', () => {
  it('is connected when it is right, and refused without a trace when it is not', async () => {
    const { chain, coin, immature } = await chainWithCoins();
    const blocks = craftBlocks(chain, coin, immature);
    expect(blocks.length).toBeGreaterThan(20);
    const coins = coinsOf(chain);
    const before = chain.tip();
    for (const { name, valid, says, raw } of blocks) {
      const result = await chain.submitBlock(raw);
      if (valid) {
        expect(result, name).toMatchObject({ outcome: 'connected', height: before.height + 1 });
      } else {
        expect(result, name).toMatchObject({
          rejected: 'block-invalid',
          detail: expect.stringContaining(says) as string,
        });
        expect(chain.tip(), name).toEqual(before);
        expect(coinsOf(chain), name).toEqual(coins);
      }
    }
    expect(chain.tip().height).toBe(before.height + 1);
  });

  it('that is cut, or has bytes after its end, is refused', async () => {
    const chain = await openTestChain();
    const raw = craftBlock(chain);
    for (const length of [0, 79, 80, 81, raw.length - 1]) {
      expect(await chain.submitBlock(raw.subarray(0, length))).toMatchObject({ rejected: 'block-invalid' });
    }
    expect(await chain.submitBlock(Buffer.concat([raw, Buffer.of(0)]))).toMatchObject({ rejected: 'block-invalid' });
    accepted(await chain.submitBlock(raw));
  });

  it('is known the second time, and needs a known parent', async () => {
    const [ours, theirs] = await twins();
    const { hashes } = accepted(await theirs.mine({ blocks: 2 }));
    expect(await move(theirs, hashes.toReversed(), ours)).toMatchObject([
      { rejected: 'block-unknown-parent' },
      { outcome: 'connected', height: 111 },
    ]);
    expect(await move(theirs, hashes, ours)).toMatchObject([{ outcome: 'already-known' }, { outcome: 'connected' }]);
    expect(ours.tip()).toEqual(theirs.tip());
  });

  it('confirms what the mempool holds, and makes impossible what it spends otherwise', async () => {
    const [ours, theirs] = await twins();
    const coin = await fundTestWallet(theirs, wallet, { type: 'p2wpkh', index: 1, amountSats: 100_000n });
    const { hashes } = accepted(await theirs.mine({ blocks: 1 }));
    await move(theirs, hashes, ours);
    const pay = (amountSats: bigint) => wallet.spend([coin], [{ address: ADDRESS, amountSats }]);
    accepted(await theirs.submitTransaction(pay(90_000n)));
    const lost = accepted(await ours.submitTransaction(pay(80_000n)));
    const child = await coinFrom(ours, { txid: lost.txid, address: ADDRESS, type: 'p2wpkh', index: 1 });
    accepted(await ours.submitTransaction(wallet.spend([child], [{ address: ADDRESS, amountSats: 70_000n }])));
    expect(ours.mempool.size).toBe(2);
    await move(theirs, accepted(await theirs.mine({ blocks: 1 })).hashes, ours);
    expect(ours.mempool.size).toBe(0);
    expect(await ours.findTransaction(lost.txid)).toBeUndefined();
  });
});

describe('a side branch', () => {
  it('wins with more work, not with the same: the first seen stays', async () => {
    const [ours, theirs] = await twins();
    const own = accepted(await ours.mine({ blocks: 2, address: ADDRESS })).hashes;
    const { txid } = accepted(await ours.pay({ address: ADDRESS, amountSats: 5_000n }));
    accepted(await ours.mine({ blocks: 1 }));
    const other = accepted(await theirs.mine({ blocks: 4 })).hashes;
    expect(await move(theirs, other, ours)).toMatchObject([
      { outcome: 'side-branch', height: 111 },
      { outcome: 'side-branch', height: 112 },
      { outcome: 'side-branch', height: 113 },
      { outcome: 'reorganised', height: 114 },
    ]);
    expect(ours.tip()).toEqual(theirs.tip());
    expect(coinsOf(ours)).toEqual(coinsOf(theirs));
    expect(ours.mempool.has(txid)).toBe(true);
    expect(await ours.block(own[0] ?? '')).toBeDefined();
  });

  it('survives a restart, and can win afterwards', async () => {
    const directory = temporaryDirectory();
    const before = await openTestChain({ directory });
    const theirs = await openTestChain();
    accepted(await before.mine({ blocks: 2, address: ADDRESS }));
    const other = accepted(await theirs.mine({ blocks: 3 })).hashes;
    await move(theirs, other.slice(0, 2), before);
    await before.close();
    const after = await openTestChain({ directory });
    expect(await move(theirs, other.slice(2), after)).toMatchObject([{ outcome: 'reorganised' }]);
    expect(after.tip()).toEqual(theirs.tip());
  });

  it('with a block that turns out invalid does not win, nothing of it stays, and it is remembered', async () => {
    const { chain, coin } = await chainWithCoins();
    const before = chain.tip();
    // Made on this tip while it is the tip, and submitted when it no longer is: stored without being connected.
    const spend = wallet.spend([coin], [{ address: ADDRESS, amountSats: 90_000n }]);
    const good = craftBlock(chain);
    const greedy = craftBlock(chain, { coinbaseSats: 50_000_000_000n });
    const greedyHash = Buffer.from(Block.fromBuffer(greedy).getHash());
    const time = (chain.blockInfo(before.hash)?.time ?? 0) + 1_200;
    const heightScript = Buffer.from([1, before.height + 2, 1]);
    const child = craftBlock(chain, { prevHash: greedyHash, time, coinbaseScript: heightScript });
    accepted(await chain.submitBlock(good));
    accepted(await chain.submitTransaction(spend));
    const tip = chain.tip();
    const coins = coinsOf(chain);
    expect(await chain.submitBlock(greedy)).toMatchObject({ outcome: 'side-branch' });
    expect(await chain.submitBlock(child)).toMatchObject({
      rejected: 'block-invalid',
      detail: expect.stringContaining('bad-cb-amount') as string,
    });
    expect(chain.tip()).toEqual(tip);
    expect(coinsOf(chain)).toEqual(coins);
    expect(chain.mempool.size).toBe(1);
    expect(await chain.submitBlock(greedy)).toMatchObject({ rejected: 'block-invalid' });
    expect(await chain.submitBlock(child)).toMatchObject({ rejected: 'block-invalid' });
    accepted(await chain.mine({ blocks: 1 }));
    const { directory } = chain;
    const last = chain.tip();
    await chain.close();
    expect((await openTestChain({ directory })).tip()).toEqual(last);
  });
});
