import { Block, Transaction } from 'bitcoinjs-lib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { accepted, coinFrom } from '../../../test/support/regtest-coins.js';
import { createTestWallet, SCRIPT_TYPES, type TestCoin } from '../../../test/support/regtest-wallet.js';
import { openTestChain, temporaryDirectory } from '../../../test/support/test-chain.js';
import type { RegtestChain } from './regtest-chain.js';

const wallet = createTestWallet();

type Step =
  | { do: 'mine'; blocks: number }
  | { do: 'pay'; type: number; amountSats: bigint }
  | { do: 'spend'; pick: number; type: number; feeSats: bigint }
  | { do: 'reorg'; depth: number; more: number; drop: boolean }
  | { do: 'evict'; pick: number }
  | { do: 'reopen' };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('mine' as const), blocks: fc.integer({ min: 1, max: 4 }) }),
  fc.record({ do: fc.constant('pay' as const), type: fc.nat(3), amountSats: fc.bigInt(20_000n, 9_000_000n) }),
  fc.record({ do: fc.constant('spend' as const), pick: fc.nat(20), type: fc.nat(3), feeSats: fc.bigInt(300n, 3_000n) }),
  fc.record({
    do: fc.constant('reorg' as const),
    depth: fc.integer({ min: 1, max: 8 }),
    more: fc.integer({ min: 1, max: 3 }),
    drop: fc.boolean(),
  }),
  fc.record({ do: fc.constant('evict' as const), pick: fc.nat(5) }),
  fc.constant({ do: 'reopen' as const }),
);

/** The coins of the best chain, worked out from its raw blocks alone, by other code than the chain's. */
async function coinsFromScratch(chain: RegtestChain): Promise<Map<string, bigint>> {
  const coins = new Map<string, bigint>();
  for (let height = 1; height <= chain.tip().height; height += 1) {
    const raw = await chain.block(chain.hashAt(height) ?? '');
    for (const tx of Block.fromBuffer(raw ?? new Uint8Array()).transactions ?? []) {
      for (const input of tx.isCoinbase() ? [] : tx.ins) {
        const key = `${Buffer.from(input.hash).reverse().toString('hex')}:${input.index}`;
        if (!coins.delete(key)) throw new Error(`block ${height} spends ${key}, which is not there`);
      }
      for (const [vout, { script, value }] of tx.outs.entries()) {
        if (script[0] !== 0x6a) coins.set(`${tx.getId()}:${vout}`, value);
      }
    }
  }
  return coins;
}

const FIRST_SUBSIDY = 5_000_000_000n;
function issued(height: number): bigint {
  let total = 0n;
  for (let at = 1; at <= height; at += 1) total += FIRST_SUBSIDY / 2n ** BigInt(Math.floor(at / 150));
  return total;
}

async function assertLaws(chain: RegtestChain): Promise<void> {
  const coins = new Map([...chain.coins()].map(([key, coin]) => [key, coin.amountSats]));
  expect(coins).toEqual(await coinsFromScratch(chain));
  // Fees go to the miner of the block, so no satoshi is lost.
  expect([...coins.values()].reduce((sum, amount) => sum + amount, 0n)).toBe(issued(chain.tip().height));
  const seen = new Set<string>();
  for (const { txid } of chain.mempool.list()) {
    const { raw, blockHash } = (await chain.findTransaction(txid)) ?? {};
    expect(blockHash, 'a transaction of the mempool is in no block').toBeUndefined();
    for (const input of Transaction.fromBuffer(raw ?? new Uint8Array()).ins) {
      const parent = Buffer.from(input.hash).reverse().toString('hex');
      const isThere = chain.coin(parent, input.index) !== undefined || seen.has(parent);
      expect(isThere, 'what the mempool spends is there, parents before children').toBe(true);
      expect(chain.mempool.spenderOf(parent, input.index)).toBe(txid);
    }
    seen.add(txid);
  }
}

describe('any sequence of mining, paying, spending, reorgs and restarts', () => {
  it('keeps coins equal to what the raw blocks say, every satoshi accounted for, and the mempool possible', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (steps) => {
        const directory = temporaryDirectory();
        let chain = await openTestChain({ directory, preminedBlocks: 104 });
        const coins: TestCoin[] = [];
        try {
          for (const [index, now] of steps.entries()) {
            switch (now.do) {
              case 'mine':
                accepted(await chain.mine({ blocks: now.blocks }));
                break;
              case 'pay': {
                const type = SCRIPT_TYPES[now.type] ?? 'p2tr';
                const address = wallet.addressOf(type, index);
                const paid = await chain.pay({ address, amountSats: now.amountSats });
                // After a reorg that dropped transactions the miner may have nothing mature: that is an answer too.
                if ('rejected' in paid) expect(paid.rejected).toBe('miner-out-of-funds');
                else coins.push(await coinFrom(chain, { txid: paid.txid, address, type, index }));
                break;
              }
              case 'spend': {
                const coin = coins[now.pick % Math.max(coins.length, 1)];
                if (!coin) break;
                const type = SCRIPT_TYPES[now.type] ?? 'p2tr';
                const address = wallet.addressOf(type, 1_000 + index);
                const hex = wallet.spend([coin], [{ address, amountSats: coin.amountSats - now.feeSats }]);
                // Accepted, a replacement, or refused because the coin is gone: the laws hold in any case.
                await chain.submitTransaction(hex);
                break;
              }
              case 'reorg': {
                const depth = Math.min(now.depth, chain.tip().height);
                accepted(await chain.reorg({ depth, blocks: depth + now.more, dropTransactions: now.drop }));
                break;
              }
              case 'evict':
                await chain.evict(chain.mempool.list()[now.pick]?.txid ?? '');
                break;
              case 'reopen': {
                const before = {
                  tip: chain.tip(),
                  mempool: chain.mempool.list(),
                  coins: new Set(chain.coins().keys()),
                };
                await chain.close();
                chain = await openTestChain({ directory, preminedBlocks: 104 });
                expect({
                  tip: chain.tip(),
                  mempool: chain.mempool.list(),
                  coins: new Set(chain.coins().keys()),
                }).toEqual(before);
                break;
              }
            }
          }
          await assertLaws(chain);
        } finally {
          await chain.close();
        }
      }),
      { numRuns: 20 },
    );
  });
});
