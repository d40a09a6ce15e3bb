import { Transaction } from 'bitcoinjs-lib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openRegtestChain } from '../../src/bitcoin/regtest/open-regtest-chain.js';
import type { RegtestChain } from '../../src/bitcoin/regtest/regtest-chain.js';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startBtcd, type Btcd } from '../support/btcd.js';
import { accepted, coinFrom, fundTestWallet } from '../support/regtest-coins.js';
import { createTestWallet, SCRIPT_TYPES, type ScriptType, type TestCoin } from '../support/regtest-wallet.js';

const wallet = createTestWallet();
const TO = wallet.addressOf('p2wpkh', 900);
const AMOUNT = 100_000n;
const COINS_PER_TYPE = 12;

/** The same transactions to the built-in chain and to btcd, which runs with the relay rules of Bitcoin Core. */
describe('the mempool of the built-in chain', () => {
  let directory: string;
  let chain: RegtestChain;
  let node: Btcd;
  const coins = new Map<ScriptType, TestCoin[]>();

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'tallystick-test-chain-'));
    chain = await openRegtestChain({ directory, now: Date.now, random: (bytes) => Buffer.alloc(bytes, 5) });
    node = await startBtcd();
    for (const type of SCRIPT_TYPES) {
      coins.set(type, []);
      for (let index = 0; index < COINS_PER_TYPE; index += 1) {
        coins.get(type)?.push(await fundTestWallet(chain, wallet, { type, index, amountSats: AMOUNT }));
      }
    }
    accepted(await chain.mine({ blocks: 1 }));
    for (let height = 1; height <= chain.tip().height; height += 1) {
      const raw = await chain.block(chain.hashAt(height) ?? '');
      expect(await node.call('submitblock', Buffer.from(raw ?? []).toString('hex'))).toBeNull();
    }
  });
  afterAll(async () => {
    await node?.stop();
    await chain?.close();
    rmSync(directory, { recursive: true, force: true });
  });

  const take = (type: ScriptType = 'p2wpkh'): TestCoin => {
    const coin = coins.get(type)?.pop();
    if (!coin) throw new Error('no coin left');
    return coin;
  };
  const spend = (coin: TestCoin, amountSats: bigint, address = TO, options = {}): string =>
    wallet.spend([coin], [{ address, amountSats }], options);

  /** Both take it, or both refuse it. */
  async function bothSay(hex: string, verdict: 'accepted' | 'refused'): Promise<void> {
    const theirs = await node.call('sendrawtransaction', hex).then(
      () => 'accepted',
      (error: unknown) => `refused: ${String(error)}`,
    );
    const result = await chain.submitTransaction(hex);
    const ours = 'rejected' in result ? `refused: ${result.rejected}, ${result.detail}` : 'accepted';
    expect(
      [ours, theirs].map((said) => said.slice(0, verdict.length)),
      `${ours} / ${theirs}`,
    ).toEqual([verdict, verdict]);
  }

  function tamper(hex: string, change: (tx: Transaction) => void): string {
    const tx = Transaction.fromHex(hex);
    change(tx);
    return tx.toHex();
  }

  it.each(SCRIPT_TYPES)('asks for 1 sat/vB of %s, to the satoshi', async (type) => {
    const coin = take(type);
    // Signatures are 71 or 72 bytes with their type, so the size may change by one with each of them.
    for (let feeSats = 90n; ; feeSats += 1n) {
      const hex = spend(coin, AMOUNT - feeSats);
      const enough = feeSats >= BigInt(Transaction.fromHex(hex).virtualSize());
      await bothSay(hex, enough ? 'accepted' : 'refused');
      if (enough) break;
    }
  });

  it.each([
    ['p2wpkh', 294n],
    ['p2tr', 330n],
    ['p2pkh', 546n],
    ['p2sh-p2wpkh', 540n],
  ] as const)('refuses outputs of %s below %d satoshis', async (type, least) => {
    const coin = take();
    await bothSay(spend(coin, least - 1n, wallet.addressOf(type, 901)), 'refused');
    await bothSay(spend(coin, least, wallet.addressOf(type, 901)), 'accepted');
  });

  it.each(SCRIPT_TYPES)('verifies the signature of %s', async (type) => {
    const coin = take(type);
    const hex = spend(coin, 90_000n);
    const forged = tamper(hex, (tx) => {
      const target = tx.ins[0]?.witness[0] ?? tx.ins[0]?.script;
      if (target) target[20] = (target[20] ?? 0) ^ 1;
    });
    await bothSay(forged, 'refused');
    await bothSay(
      tamper(hex, (tx) => tx.outs.forEach((out) => (out.value -= 1n))),
      'refused',
    );
    await bothSay(hex, 'accepted');
  });

  it('replaces at the old fee and 1 sat/vB for the new size, to the satoshi', async () => {
    const coin = take('p2tr');
    // Schnorr signatures are 64 bytes: sizes are equal.
    const hex = spend(coin, AMOUNT - 300n);
    const vsize = BigInt(Transaction.fromHex(hex).virtualSize());
    await bothSay(hex, 'accepted');
    await bothSay(spend(coin, AMOUNT - 300n - vsize + 1n), 'refused');
    await bothSay(spend(coin, AMOUNT - 300n - vsize), 'accepted');
  });

  it('replaces a parent with its child at the fees of both', async () => {
    const coin = take('p2tr');
    const address = wallet.addressOf('p2tr', 950);
    const parent = spend(coin, AMOUNT - 1_000n, address);
    await bothSay(parent, 'accepted');
    const txid = Transaction.fromHex(parent).getId();
    const child = await coinFrom(chain, { txid, address, type: 'p2tr', index: 950 });
    await bothSay(spend(child, AMOUNT - 3_000n), 'accepted');
    const vsize = BigInt(Transaction.fromHex(parent).virtualSize());
    await bothSay(spend(coin, AMOUNT - 3_000n - vsize + 1n, address), 'refused');
    await bothSay(spend(coin, AMOUNT - 3_000n - vsize, address), 'accepted');
  });

  it('does not replace what does not signal it', async () => {
    const coin = take();
    await bothSay(spend(coin, 99_000n, TO, { sequence: 0xffffffff }), 'accepted');
    await bothSay(spend(coin, 50_000n), 'refused');
  });

  it('does not let a replacement add an unconfirmed input, only a confirmed one', async () => {
    const [coin, other, confirmed] = [take(), take(), take()];
    const address = wallet.addressOf('p2wpkh', 951);
    const unconfirmedHex = spend(other, 99_000n, address);
    await bothSay(unconfirmedHex, 'accepted');
    const txid = Transaction.fromHex(unconfirmedHex).getId();
    const unconfirmed = await coinFrom(chain, { txid, address, type: 'p2wpkh', index: 951 });
    await bothSay(spend(coin, 99_000n), 'accepted');
    await bothSay(wallet.spend([coin, unconfirmed], [{ address: TO, amountSats: 150_000n }]), 'refused');
    await bothSay(wallet.spend([coin, confirmed], [{ address: TO, amountSats: 150_000n }]), 'accepted');
  });

  it('keeps to lock times, absolute and relative', async () => {
    const coin = take();
    const { height } = chain.tip();
    await bothSay(spend(coin, 99_000n, TO, { locktime: height + 1 }), 'refused');
    await bothSay(spend(coin, 99_000n, TO, { sequence: 2 }), 'refused');
    await bothSay(spend(coin, 99_000n, TO, { sequence: 1, locktime: height }), 'accepted');
  });

  it('refuses what is not there, too much, immature, or of unusual form', async () => {
    const coin = take();
    await bothSay(spend({ ...coin, vout: 40 }, 99_000n), 'refused');
    const hex = spend(coin, 50_000n);
    await bothSay(
      tamper(hex, (tx) => void tx.addOutput(Buffer.alloc(22), 60_000n)),
      'refused',
    );
    await bothSay(
      tamper(hex, (tx) => (tx.version = 3)),
      'refused',
    );
    await bothSay(
      tamper(hex, (tx) => void tx.addOutput(Buffer.from('6a0101', 'hex'), 0n)),
      'refused',
    );
    await bothSay(`${hex}00`, 'refused');
    await bothSay(hex, 'accepted');
  });

  it('mines what it has, and btcd accepts the block and has the same left', async () => {
    const { hashes } = accepted(await chain.mine({ blocks: 1 }));
    const raw = await chain.block(hashes[0] ?? '');
    expect(await node.call('submitblock', Buffer.from(raw ?? []).toString('hex'))).toBeNull();
    expect(await node.call('getrawmempool')).toEqual([]);
    expect(chain.mempool.size).toBe(0);
  });
});
