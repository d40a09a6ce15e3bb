import { Block } from 'bitcoinjs-lib';
import { describe, expect, it } from 'vitest';
import type { RegtestChain } from '../../src/bitcoin/regtest/regtest-chain.js';
import { startBtcd } from '../support/btcd.js';
import { craftBlocks, type CraftedBlock } from '../support/crafted-blocks.js';
import { judgeBlocks } from '../support/kernel-judge.js';
import { accepted, coinFrom, fundTestWallet } from '../support/regtest-coins.js';
import { createTestWallet } from '../support/regtest-wallet.js';
import { openTestChain } from '../support/test-chain.js';

const wallet = createTestWallet();
const ADDRESS = wallet.addressOf('p2wpkh', 1);

async function prepare(): Promise<{ chain: RegtestChain; history: Uint8Array[]; crafted: CraftedBlock[] }> {
  const chain = await openTestChain();
  const coin = await fundTestWallet(chain, wallet, { type: 'p2wpkh', index: 1, amountSats: 100_000n });
  const { hashes } = accepted(await chain.mine({ blocks: 1, address: ADDRESS }));
  const block = Block.fromBuffer((await chain.block(hashes[0] ?? '')) ?? new Uint8Array());
  const txid = block.transactions?.[0]?.getId() ?? '';
  const immature = await coinFrom(chain, { txid, address: ADDRESS, type: 'p2wpkh', index: 1 });
  const heights = Array.from({ length: chain.tip().height }, (_, index) => index + 1);
  const history = await Promise.all(
    heights.map(async (height) => (await chain.block(chain.hashAt(height) ?? '')) ?? new Uint8Array()),
  );
  return { chain, history, crafted: craftBlocks(chain, coin, immature) };
}

describe('blocks made by hand, right and wrong', () => {
  it('are judged by the built-in chain as by the validation engine of Bitcoin Core', async () => {
    const { chain, history, crafted } = await prepare();
    // The engine is given no bytes that are no block at all: its parser stops the process that asks.
    const readable = crafted.filter(({ name }) => name !== 'no transactions');
    const { verdicts } = await judgeBlocks([...history, ...readable.map(({ raw }) => raw)]);
    const base = history.length;
    for (const [index, { name, raw, valid }] of readable.entries()) {
      const verdict = verdicts[base + index];
      const ours = !('rejected' in (await chain.submitBlock(raw)));
      expect({ name, ours, core: verdict?.tip === verdict?.hash }).toEqual({ name, ours: valid, core: valid });
    }
  });

  it('are judged by the built-in chain as by btcd', async () => {
    const { chain, history, crafted } = await prepare();
    const node = await startBtcd();
    try {
      for (const raw of history) expect(await node.call('submitblock', Buffer.from(raw).toString('hex'))).toBeNull();
      for (const { name, raw, valid } of crafted) {
        const said = await node
          .call('submitblock', Buffer.from(raw).toString('hex'))
          .catch((error: unknown) => String(error));
        const ours = !('rejected' in (await chain.submitBlock(raw)));
        expect({ name, ours, btcd: said === null }).toEqual({ name, ours: valid, btcd: valid });
      }
      expect(await node.call('getbestblockhash')).toBe(chain.tip().hash);
    } finally {
      await node.stop();
    }
  });
});
