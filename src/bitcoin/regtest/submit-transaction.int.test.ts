import { Block, Transaction } from 'bitcoinjs-lib';
import { describe, expect, it } from 'vitest';
import { accepted, coinFrom, fundTestWallet } from '../../../test/support/regtest-coins.js';
import {
  createTestWallet,
  SCRIPT_TYPES,
  type ScriptType,
  type TestCoin,
} from '../../../test/support/regtest-wallet.js';
import { openTestChain } from '../../../test/support/test-chain.js';
import type { RegtestChain } from './regtest-chain.js';

const wallet = createTestWallet();
const TO = wallet.addressOf('p2wpkh', 7);
const FINAL = 0xffffffff;

/** A chain with one confirmed coin of 100,000 satoshis for the test wallet. */
async function chainWithCoin(type: ScriptType = 'p2wpkh'): Promise<{ chain: RegtestChain; coin: TestCoin }> {
  const chain = await openTestChain();
  const coin = await fundTestWallet(chain, wallet, { type, index: 1, amountSats: 100_000n });
  accepted(await chain.mine({ blocks: 1 }));
  return { chain, coin };
}

const to = (amountSats: bigint, address = TO) => [{ address, amountSats }];

/** Changes a signed transaction, as somebody who cannot sign would. */
function tamper(hex: string, change: (tx: Transaction) => void): string {
  const tx = Transaction.fromHex(hex);
  change(tx);
  return tx.toHex();
}

async function refusal(chain: RegtestChain, hex: string): Promise<unknown> {
  const before = JSON.stringify(chain.mempool.list().map(({ txid }) => txid));
  const tested = chain.testTransaction(hex);
  const result = await chain.submitTransaction(hex);
  expect(tested).toEqual(result);
  expect(JSON.stringify(chain.mempool.list().map(({ txid }) => txid))).toBe(before);
  return 'rejected' in result ? result.rejected : result;
}

describe('a signed transaction', () => {
  it.each(SCRIPT_TYPES)(
    'that spends %s is accepted, and not when one bit of its signature is another',
    async (type) => {
      const { chain, coin } = await chainWithCoin(type);
      const hex = wallet.spend([coin], to(99_000n));
      const forged = tamper(hex, (tx) => {
        const input = tx.ins[0];
        // The 21st byte is inside r, for DER and for Schnorr alike.
        const target = input?.witness[0] ?? input?.script;
        if (target) target[20] = (target[20] ?? 0) ^ 1;
      });
      expect(await refusal(chain, forged)).toBe('signature-invalid');
      const result = accepted(await chain.submitTransaction(hex));
      expect(result).toMatchObject({ feeSats: 1_000n, alreadyKnown: false, replaced: [] });
      expect(chain.mempool.spenderOf(coin.txid, coin.vout)).toBe(result.txid);
    },
  );

  it.each(SCRIPT_TYPES)('of %s is refused when its outputs were changed after signing', async (type) => {
    const { chain, coin } = await chainWithCoin(type);
    const hex = wallet.spend([coin], to(99_000n));
    const redirected = tamper(hex, (tx) => {
      const output = tx.outs[0];
      if (output) output.value -= 1n;
    });
    expect(await refusal(chain, redirected)).toBe('signature-invalid');
  });

  it.each(['p2wpkh', 'p2sh-p2wpkh', 'p2tr'] as const)(
    'of %s is refused when the signer was told a wrong amount',
    async (type) => {
      const { chain, coin } = await chainWithCoin(type);
      expect(await refusal(chain, wallet.spend([{ ...coin, amountSats: 100_001n }], to(99_000n)))).toBe(
        'signature-invalid',
      );
    },
  );

  it('without any signature is refused', async () => {
    const { chain, coin } = await chainWithCoin();
    const stripped = tamper(wallet.spend([coin], to(99_000n)), (tx) => tx.stripWitnesses());
    expect(await refusal(chain, stripped)).toBe('signature-invalid');
  });

  it('sent again is accepted again, and known', async () => {
    const { chain, coin } = await chainWithCoin();
    const hex = wallet.spend([coin], to(99_000n));
    const first = accepted(await chain.submitTransaction(hex));
    expect(accepted(await chain.submitTransaction(hex)).alreadyKnown).toBe(true);
    expect(chain.mempool.size).toBe(1);
    accepted(await chain.mine({ blocks: 1 }));
    expect(await refusal(chain, hex)).toBe('already-confirmed');
    // Also when its output is spent: a node that keeps no index of transactions would say that its inputs are missing.
    const paid = await coinFrom(chain, { txid: first.txid, address: TO, type: 'p2wpkh', index: 7 });
    accepted(await chain.submitTransaction(wallet.spend([paid], to(98_000n))));
    accepted(await chain.mine({ blocks: 1 }));
    expect(await refusal(chain, hex)).toBe('already-confirmed');
  });
});

describe('refused', () => {
  it.each([
    ['no hex', 'zz'],
    ['half a byte', '012'],
    ['nothing', ''],
    ['a few bytes', '0200000001'],
  ])('%s', async (_, hex) => {
    const chain = await openTestChain();
    expect(await refusal(chain, hex)).toBe('transaction-malformed');
  });

  it('bytes after the transaction', async () => {
    const { chain, coin } = await chainWithCoin();
    expect(await refusal(chain, `${wallet.spend([coin], to(99_000n))}00`)).toBe('transaction-malformed');
  });

  it('a coinbase', async () => {
    const chain = await openTestChain();
    const coinbase = new Transaction();
    coinbase.addInput(new Uint8Array(32), 0xffffffff, FINAL, Buffer.from('0101', 'hex'));
    coinbase.addOutput(Buffer.alloc(22), 1_000n);
    expect(await refusal(chain, coinbase.toHex())).toBe('transaction-malformed');
  });

  it('an input that never was, and one that is spent in a block', async () => {
    const { chain, coin } = await chainWithCoin();
    expect(await refusal(chain, wallet.spend([{ ...coin, vout: 7 }], to(99_000n)))).toBe('inputs-missing-or-spent');
    accepted(await chain.submitTransaction(wallet.spend([coin], to(99_000n))));
    accepted(await chain.mine({ blocks: 1 }));
    expect(await refusal(chain, wallet.spend([coin], to(98_000n)))).toBe('inputs-missing-or-spent');
  });

  it('more out than in', async () => {
    const { chain, coin } = await chainWithCoin();
    const greedy = tamper(wallet.spend([coin], to(99_000n)), (tx) => void tx.addOutput(Buffer.alloc(22), 1_001n));
    expect(await refusal(chain, greedy)).toBe('outputs-exceed-inputs');
  });

  it('a coinbase that is not mature: 100 blocks, counted exactly', async () => {
    const chain = await openTestChain({ preminedBlocks: 0 });
    accepted(await chain.mine({ blocks: 1, address: wallet.addressOf('p2wpkh', 1) }));
    const block = await chain.block(chain.hashAt(1) ?? '');
    const txid = Block.fromBuffer(block ?? new Uint8Array()).transactions?.[0]?.getId() ?? '';
    const coin = await coinFrom(chain, { txid, address: wallet.addressOf('p2wpkh', 1), type: 'p2wpkh', index: 1 });
    const hex = wallet.spend([coin], to(4_999_990_000n));
    accepted(await chain.mine({ blocks: 98 }));
    expect(await refusal(chain, hex)).toBe('coinbase-immature');
    accepted(await chain.mine({ blocks: 1 }));
    accepted(await chain.submitTransaction(hex));
    accepted(await chain.mine({ blocks: 1 }));
    expect(chain.mempool.size).toBe(0);
  });

  it('a fee below 1 sat/vB, exactly', async () => {
    const { chain, coin } = await chainWithCoin();
    const { vsize } = accepted(chain.testTransaction(wallet.spend([coin], to(90_000n))) as { vsize: number });
    expect(await refusal(chain, wallet.spend([coin], to(100_000n - BigInt(vsize) + 1n)))).toBe('fee-too-low');
    accepted(await chain.submitTransaction(wallet.spend([coin], to(100_000n - BigInt(vsize)))));
  });

  it.each([
    ['p2wpkh', 294n],
    ['p2tr', 330n],
    ['p2sh-p2wpkh', 540n],
    ['p2pkh', 546n],
  ] as const)('dust, by the script of the output: %s from %d', async (type, least) => {
    const { chain, coin } = await chainWithCoin();
    const address = wallet.addressOf(type, 3);
    expect(await refusal(chain, wallet.spend([coin], to(least - 1n, address)))).toBe('dust');
    accepted(await chain.submitTransaction(wallet.spend([coin], to(least, address))));
  });

  it('a lock time that is not reached, and no longer when it is', async () => {
    const { chain, coin } = await chainWithCoin();
    const height = chain.tip().height;
    expect(await refusal(chain, wallet.spend([coin], to(99_000n), { locktime: height + 1 }))).toBe(
      'transaction-not-final',
    );
    accepted(await chain.submitTransaction(wallet.spend([coin], to(98_000n), { locktime: height })));
  });

  it('a relative lock time that is not reached (BIP68)', async () => {
    const { chain, coin } = await chainWithCoin();
    const hex = wallet.spend([coin], to(99_000n), { sequence: 3 });
    accepted(await chain.mine({ blocks: 1 }));
    expect(await refusal(chain, hex)).toBe('transaction-not-final');
    accepted(await chain.mine({ blocks: 1 }));
    accepted(await chain.submitTransaction(hex));
  });

  it.each([
    ['version 3', (tx: Transaction) => (tx.version = 3)],
    ['two OP_RETURNs', (tx: Transaction) => [1, 2].map(() => tx.addOutput(Buffer.from('6a0100', 'hex'), 0n))],
    [
      'a large OP_RETURN',
      (tx: Transaction) => tx.addOutput(Buffer.concat([Buffer.from('6a4c51', 'hex'), Buffer.alloc(81)]), 0n),
    ],
    ['too many signature operations', (tx: Transaction) => tx.addOutput(Buffer.alloc(4_001, 0xac), 50_000n)],
  ])('%s', async (_, change) => {
    const { chain, coin } = await chainWithCoin();
    const hex = tamper(wallet.spend([coin], to(40_000n)), (tx) => void change(tx));
    expect(await refusal(chain, hex)).toBe('transaction-non-standard');
  });

  it('what spends a script that this chain cannot verify, so that no block of it is one that nodes refuse', async () => {
    const chain = await openTestChain();
    const wsh = 'bcrt1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qzf4jry';
    const { txid } = accepted(await chain.pay({ address: wsh, amountSats: 50_000n }));
    const paid = await coinFrom(chain, { txid, address: wsh, type: 'p2wpkh', index: 1 });
    const spend = new Transaction();
    spend.version = 2;
    spend.addInput(Buffer.from(txid, 'hex').reverse(), paid.vout, 0xfffffffd);
    spend.setWitness(0, [Buffer.of(0x51)]);
    spend.addOutput(Buffer.alloc(22), 40_000n);
    expect(await refusal(chain, spend.toHex())).toBe('script-not-supported');
  });

  it('a chain of more than 25 unconfirmed transactions', async () => {
    const { chain, coin } = await chainWithCoin();
    let last = coin;
    for (let count = 0; count < 25; count += 1) {
      const address = wallet.addressOf('p2wpkh', 1);
      const { txid } = accepted(
        await chain.submitTransaction(wallet.spend([last], to(last.amountSats - 200n, address))),
      );
      last = await coinFrom(chain, { txid, address, type: 'p2wpkh', index: 1 });
    }
    const next = wallet.spend([last], to(last.amountSats - 200n));
    expect(await refusal(chain, next)).toBe('unconfirmed-chain-too-long');
    accepted(await chain.mine({ blocks: 1 }));
    accepted(await chain.submitTransaction(next));
  });
});

describe('a replacement', () => {
  it('pays the old fee and 1 sat/vB for its own size, to the satoshi', async () => {
    const { chain, coin } = await chainWithCoin();
    const original = accepted(await chain.submitTransaction(wallet.spend([coin], to(99_800n))));
    const needed = 200n + BigInt(original.vsize);
    expect(await refusal(chain, wallet.spend([coin], to(100_000n - needed + 1n)))).toBe('replacement-refused');
    const result = accepted(await chain.submitTransaction(wallet.spend([coin], to(100_000n - needed))));
    expect(result.replaced).toEqual([original.txid]);
    expect(chain.mempool.has(original.txid)).toBe(false);
    expect(chain.mempool.spenderOf(coin.txid, coin.vout)).toBe(result.txid);
  });

  it('pays for all that it pushes out: the descendants too', async () => {
    const { chain, coin } = await chainWithCoin();
    const address = wallet.addressOf('p2tr', 4);
    const parent = accepted(await chain.submitTransaction(wallet.spend([coin], to(99_000n, address))));
    const child = await coinFrom(chain, { txid: parent.txid, address, type: 'p2tr', index: 4 });
    const grandchild = accepted(await chain.submitTransaction(wallet.spend([child], to(79_000n))));
    expect(await refusal(chain, wallet.spend([coin], to(90_000n)))).toBe('replacement-refused');
    const { replaced } = accepted(await chain.submitTransaction(wallet.spend([coin], to(78_000n))));
    expect(replaced).toEqual([parent.txid, grandchild.txid]);
    expect(chain.mempool.size).toBe(1);
  });

  it('is refused where the original does not signal it (BIP125)', async () => {
    const { chain, coin } = await chainWithCoin();
    accepted(await chain.submitTransaction(wallet.spend([coin], to(99_000n), { sequence: FINAL })));
    expect(await refusal(chain, wallet.spend([coin], to(50_000n)))).toBe('conflict-not-replaceable');
  });

  it('is accepted where what the original builds on signals it', async () => {
    const { chain, coin } = await chainWithCoin();
    const address = wallet.addressOf('p2wpkh', 4);
    const parent = accepted(await chain.submitTransaction(wallet.spend([coin], to(99_000n, address))));
    const middle = await coinFrom(chain, { txid: parent.txid, address, type: 'p2wpkh', index: 4 });
    accepted(await chain.submitTransaction(wallet.spend([middle], to(98_000n), { sequence: FINAL })));
    accepted(await chain.submitTransaction(wallet.spend([middle], to(90_000n))));
    expect(chain.mempool.size).toBe(2);
  });

  it('may add a confirmed input, and no unconfirmed one', async () => {
    const { chain, coin } = await chainWithCoin();
    const confirmed = await fundTestWallet(chain, wallet, { type: 'p2wpkh', index: 5, amountSats: 30_000n });
    accepted(await chain.mine({ blocks: 1 }));
    const unconfirmed = await fundTestWallet(chain, wallet, { type: 'p2wpkh', index: 6, amountSats: 30_000n });
    accepted(await chain.submitTransaction(wallet.spend([coin], to(99_000n))));
    expect(await refusal(chain, wallet.spend([coin, unconfirmed], to(100_000n)))).toBe('replacement-refused');
    accepted(await chain.submitTransaction(wallet.spend([coin, confirmed], to(120_000n))));
  });

  it('does not spend what it replaces', async () => {
    const { chain, coin } = await chainWithCoin();
    const address = wallet.addressOf('p2wpkh', 4);
    const parent = accepted(await chain.submitTransaction(wallet.spend([coin], to(99_000n, address))));
    const child = await coinFrom(chain, { txid: parent.txid, address, type: 'p2wpkh', index: 4 });
    expect(await refusal(chain, wallet.spend([coin, child], to(100_000n)))).toBe('replacement-refused');
  });
});

describe('evicting', () => {
  it('forgets a transaction and what builds on it, and it can be sent again', async () => {
    const { chain, coin } = await chainWithCoin();
    const address = wallet.addressOf('p2wpkh', 4);
    const hex = wallet.spend([coin], to(99_000n, address));
    const parent = accepted(await chain.submitTransaction(hex));
    const middle = await coinFrom(chain, { txid: parent.txid, address, type: 'p2wpkh', index: 4 });
    const child = accepted(await chain.submitTransaction(wallet.spend([middle], to(98_000n))));
    expect(await chain.evict(parent.txid)).toEqual([parent.txid, child.txid]);
    expect(await chain.evict(parent.txid)).toEqual([]);
    expect(chain.mempool.spenderOf(coin.txid, coin.vout)).toBeUndefined();
    expect(accepted(await chain.submitTransaction(hex)).alreadyKnown).toBe(false);
  });
});
