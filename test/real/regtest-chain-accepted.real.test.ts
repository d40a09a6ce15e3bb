import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Block } from 'bitcoinjs-lib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openRegtestChain } from '../../src/bitcoin/regtest/open-regtest-chain.js';
import type { OpenOptions, RegtestChain } from '../../src/bitcoin/regtest/regtest-chain.js';
import { startBtcd } from '../support/btcd.js';
import { judgeBlocks, type SpentCoin } from '../support/kernel-judge.js';
import { accepted, coinFrom, fundTestWallet } from '../support/regtest-coins.js';
import { createTestWallet, SCRIPT_TYPES } from '../support/regtest-wallet.js';

const FIXED: OpenOptions['blockTimes'] = { kind: 'fixed', startSeconds: 1_400_000_000, stepSeconds: 600 };

describe.each([
  { name: 'dated by the clock', blockTimes: { kind: 'live' } as const },
  { name: 'with fixed times', blockTimes: FIXED },
])('the built-in chain $name, block by block', ({ blockTimes }) => {
  let directory: string;
  let chain: RegtestChain;
  /** Every block in the order in which it came to be, stale ones too. */
  let history: string[];

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'tallystick-test-chain-'));
    chain = await openRegtestChain({ directory, now: Date.now, random: (bytes) => Buffer.alloc(bytes, 5), blockTimes });
    history = Array.from({ length: chain.tip().height }, (_, index) => chain.hashAt(index + 1) ?? '');
  });

  afterEach(async () => {
    await chain.close();
    rmSync(directory, { recursive: true, force: true });
  });

  async function mine(blocks = 1): Promise<void> {
    history.push(...accepted(await chain.mine({ blocks })).hashes);
  }

  /** Pays to every script type, and from there to every other one, some of it unconfirmed. */
  async function payAround(round: number): Promise<void> {
    const wallet = createTestWallet();
    const coins = [];
    for (const type of SCRIPT_TYPES)
      coins.push(await fundTestWallet(chain, wallet, { type, index: round, amountSats: 50_000_000n }));
    if (round % 2 === 0) await mine();
    const outputs = SCRIPT_TYPES.map((type) => ({
      address: wallet.addressOf(type, round + 100),
      amountSats: 40_000_000n,
    }));
    const { txid } = accepted(await chain.submitTransaction(wallet.spend(coins, outputs)));
    for (const [at, type] of SCRIPT_TYPES.entries()) {
      const coin = await coinFrom(chain, { txid, address: outputs[at]?.address ?? '', type, index: round + 100 });
      const change = { address: chain.minerAddress, amountSats: coin.amountSats - 1_000n };
      accepted(await chain.submitTransaction(wallet.spend([coin], [change])));
    }
    await mine();
  }

  async function reorg(depth: number, blocks: number, dropTransactions: boolean): Promise<void> {
    history.push(...accepted(await chain.reorg({ depth, blocks, dropTransactions })).connected);
  }

  it('is accepted by btcd and by the validation engine of Bitcoin Core: payments, reorgs, halvings', async () => {
    await payAround(0);
    await payAround(1);
    await reorg(3, 4, false);
    await payAround(2);
    await mine(60);
    await payAround(3);
    await reorg(2, 3, true);
    await payAround(4);
    await mine(150);
    await reorg(160, 161, false);
    await payAround(5);
    expect(chain.tip().height).toBeGreaterThan(300);

    const blocks = await Promise.all(history.map(async (hash) => (await chain.block(hash)) ?? new Uint8Array()));
    const judgement = await judgeBlocks(blocks);
    expect(judgement.verdicts.filter((verdict) => !verdict.accepted)).toEqual([]);
    expect(judgement.verdicts.flatMap((verdict) => verdict.disconnected)).toHaveLength(3 + 2 + 160);
    expect(judgement.tip).toEqual(chain.tip());

    const node = await startBtcd();
    try {
      for (const block of blocks) {
        expect(await node.call('submitblock', Buffer.from(block).toString('hex'))).toBeNull();
      }
      expect(await node.call('getbestblockhash')).toBe(chain.tip().hash);
      expect(await node.call('getblockcount')).toBe(chain.tip().height);
    } finally {
      await node.stop();
    }
  });

  it('knows the same coins as Bitcoin Core: what every block spends, with amount, script, height and kind', async () => {
    await payAround(0);
    await reorg(1, 2, false);
    await payAround(1);
    const heights = Array.from({ length: chain.tip().height }, (_, index) => index + 1);
    const blocks = await Promise.all(
      heights.map(async (height) => (await chain.block(chain.hashAt(height) ?? '')) ?? new Uint8Array()),
    );
    const { spent, tip } = await judgeBlocks(blocks, { spent: true });
    expect(tip).toEqual(chain.tip());
    // Outputs are read from the raw blocks by the library; what was spent is what the engine says of each input.
    const coins = new Map<string, SpentCoin>();
    let compared = 0;
    for (const [index, raw] of blocks.entries()) {
      const block = Block.fromBuffer(raw);
      const ofBlock = [...(spent[block.getId()] ?? [])];
      for (const tx of block.transactions ?? []) {
        for (const { hash, index: vout } of tx.isCoinbase() ? [] : tx.ins) {
          const key = `${Buffer.from(hash).reverse().toString('hex')}:${vout}`;
          expect(ofBlock.shift()).toEqual(coins.get(key));
          coins.delete(key);
          compared += 1;
        }
        for (const [vout, { script, value }] of tx.outs.entries()) {
          const hex = Buffer.from(script).toString('hex');
          if (!hex.startsWith('6a'))
            coins.set(`${tx.getId()}:${vout}`, [Number(value), hex, index + 1, tx.isCoinbase()]);
        }
      }
      expect(ofBlock).toEqual([]);
    }
    // Each round spends four coins together, the four that come of it one by one, and the miner's own.
    expect(compared).toBeGreaterThanOrEqual(16);
    const ours = [...chain.coins()].map(([key, coin]): [string, SpentCoin] => [
      key,
      [Number(coin.amountSats), Buffer.from(coin.script).toString('hex'), coin.height, coin.coinbase],
    ]);
    expect(new Map(ours)).toEqual(coins);
  });
});
