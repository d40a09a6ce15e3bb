import { Block, Psbt, Transaction } from 'bitcoinjs-lib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { SourceError } from '../../src/bitcoin/block-source.js';
import { scriptToAddress } from '../../src/bitcoin/descriptors/address-script.js';
import { checkSigned } from '../../src/bitcoin/payment/check-signed.js';
import type { CoinPlace, PaymentNode } from '../../src/bitcoin/payment/payment-node.js';
import { createRpcPaymentNode } from '../../src/bitcoin/payment/rpc-payment-node.js';
import { createRpcSource } from '../../src/bitcoin/rpc/rpc-source.js';
import type { ScriptKind } from '../../src/bitcoin/descriptors/parse-descriptor.js';
import { startBtcd, type Btcd } from '../support/btcd.js';
import { createTestPayer, planOf, psbtOf, SCRIPT_KINDS, type TestPayer } from '../support/payment-plan.js';
import { startToxiproxy, type Toxiproxy } from '../support/toxiproxy.js';

const COIN_SATS = 1_000_000n;
const COINS_PER_KIND = 12;

interface Coin {
  txid: string;
  vout: number;
  amountSats: bigint;
  index: number;
  blockHash: string;
}

interface Signed {
  transaction: string;
  txid: string;
  weight: number;
  coins: CoinPlace[];
}

/** btcd with relay rules like those of Bitcoin Core. */
describe('a payment node over RPC', () => {
  const payers = Object.fromEntries(SCRIPT_KINDS.map((kind) => [kind, createTestPayer(kind)])) as Record<
    ScriptKind,
    TestPayer
  >;
  const coins = new Map<ScriptKind, Coin[]>(SCRIPT_KINDS.map((kind) => [kind, []]));
  let btcd: Btcd;
  let proxy: Toxiproxy;
  let node: PaymentNode;
  let throughProxy: PaymentNode;

  beforeAll(async () => {
    const miner = payers.wpkh;
    const miningAddress = scriptToAddress(Buffer.from(miner.script(0, 0), 'hex'), 'regtest') ?? '';
    btcd = await startBtcd({ miningAddress });
    proxy = await startToxiproxy(btcd.rpcPort);
    const source = createRpcSource({ url: btcd.url, network: 'regtest' });
    const blocks = (hashes: readonly string[]) => source.blocks(hashes);
    node = createRpcPaymentNode({ url: btcd.url, blocks });
    const badUrl = btcd.url.replace(String(btcd.rpcPort), String(proxy.port));
    throughProxy = createRpcPaymentNode({ url: badUrl, blocks, answerTimeoutMs: 2_000 });

    const [first = ''] = await btcd.call<string[]>('generate', 101);
    const coinbase = Block.fromHex(await btcd.call('getblock', first, 0)).transactions?.[0];
    const reward = coinbase?.outs[0]?.value ?? 0n;
    const outputs = SCRIPT_KINDS.flatMap((kind) =>
      Array.from({ length: COINS_PER_KIND }, (_, index) => {
        return { script: payers[kind].script(0, index + 1), amountSats: COIN_SATS };
      }),
    );
    const fee = 10_000n;
    const plan = planOf(miner, {
      inputs: [{ txid: coinbase?.getId() ?? '', vout: 0, amountSats: reward, index: 0, blockHash: first }],
      outputs,
      change: { index: 0, amountSats: reward - COIN_SATS * BigInt(outputs.length) - fee },
    });
    const previous = await node.previousTransactions([{ txid: coinbase?.getId() ?? '', blockHash: first }]);
    const parent = Transaction.fromBuffer(previous.get(coinbase?.getId() ?? '') ?? new Uint8Array());
    const funding = checkSigned(await miner.sign(psbtOf(miner, plan, [parent])), plan);
    if (funding.kind !== 'complete') throw new Error(JSON.stringify(funding));
    expect(await node.broadcast(funding.transaction)).toMatchObject({ kind: 'accepted' });
    const [blockHash = ''] = await btcd.call<string[]>('generate', 1);
    for (const [vout] of outputs.entries()) {
      const kind = SCRIPT_KINDS[Math.floor(vout / COINS_PER_KIND)] ?? 'wpkh';
      const index = (vout % COINS_PER_KIND) + 1;
      coins.get(kind)?.push({ txid: funding.txid, vout, amountSats: COIN_SATS, index, blockHash });
    }
  });
  afterEach(() => proxy.setToxics());
  afterAll(async () => {
    await node?.close();
    await throughProxy?.close();
    await proxy?.stop();
    await btcd?.stop();
  });

  const take = (kind: ScriptKind = 'tr'): Coin => {
    const coin = coins.get(kind)?.pop();
    if (!coin) throw new Error('no coin left');
    return coin;
  };

  /** Pays of these coins, at this fee, to somebody; the rest goes back. */
  async function signed(kind: ScriptKind, spent: Coin[], feeSats: bigint, changeIndex = 1): Promise<Signed> {
    const payer = payers[kind];
    const total = spent.reduce((sum, { amountSats }) => sum + amountSats, 0n);
    const plan = planOf(payer, {
      inputs: spent,
      outputs: [{ script: `0014${'ab'.repeat(20)}`, amountSats: 400_000n }],
      change: { index: changeIndex, amountSats: total - 400_000n - feeSats },
    });
    const found = await node.previousTransactions(spent);
    const previous = [...found.values()].map((raw) => Transaction.fromBuffer(raw));
    const checked = checkSigned(await payer.sign(psbtOf(payer, plan, previous)), plan);
    if (checked.kind !== 'complete') throw new Error(JSON.stringify(checked));
    const { transaction, txid, weight } = checked;
    return { transaction, txid, weight, coins: placesOf(spent) };
  }

  const placesOf = (spent: readonly Coin[]): CoinPlace[] =>
    spent.map(({ txid, vout, blockHash }) => ({ outpoint: `${txid}:${vout}`, blockHash }));

  it.each(SCRIPT_KINDS)(
    'takes what is made for %s, knows it the second time, and finds it in the chain',
    async (kind) => {
      const { transaction, txid, coins: places } = await signed(kind, [take(kind), take(kind)], 2_000n);
      expect(await node.testAccept(transaction, places)).toMatchObject({ kind: 'accepted' });
      expect(await node.find(txid)).toBeUndefined();
      expect(await node.broadcast(transaction, places)).toMatchObject({ kind: 'accepted' });
      expect(await node.broadcast(transaction, places)).toMatchObject({ kind: 'already-known' });
      expect(await node.testAccept(transaction, places)).toMatchObject({ kind: 'already-known' });
      expect(await node.find(txid)).toEqual({ transaction, blockHash: null });
      expect(await node.coinState(places[0]?.outpoint ?? '')).toEqual({ state: 'spent-in-mempool', byTxid: txid });
      expect(await node.coinState(`${txid}:1`)).toEqual({ state: 'unspent' });

      const [blockHash = ''] = await btcd.call<string[]>('generate', 1);
      expect(await node.broadcast(transaction, places)).toMatchObject({ kind: 'already-in-chain' });
      expect(await node.testAccept(transaction, places)).toMatchObject({ kind: 'already-in-chain' });
      expect(await node.find(txid)).toEqual({ transaction, blockHash });
      expect(await node.coinState(places[0]?.outpoint ?? '')).toEqual({ state: 'missing' });
      const raw = await node.previousTransactions([{ txid, blockHash }]);
      expect(Buffer.from(raw.get(txid) ?? []).toString('hex')).toBe(transaction);

      await btcd.call('invalidateblock', blockHash);
      expect(await node.broadcast(transaction, places)).toMatchObject({ kind: 'already-known' });
      await btcd.call('generate', 2);
      expect(await node.broadcast(transaction, places)).toMatchObject({ kind: 'already-in-chain' });
    },
  );

  it('refuses a replacement that pays too little, says by what it stands, and takes one that pays enough', async () => {
    const coin = take();
    const first = await signed('tr', [coin], 300n);
    const vsize = BigInt(Math.ceil(first.weight / 4));
    const tooLow = await signed('tr', [coin], 300n + vsize - 1n, 2);
    const enough = await signed('tr', [coin], 300n + vsize, 2);
    expect(await node.broadcast(first.transaction, first.coins)).toMatchObject({ kind: 'accepted' });
    expect(await node.testAccept(tooLow.transaction, tooLow.coins)).toMatchObject({
      kind: 'fee-too-low',
      byTxid: first.txid,
    });
    expect(await node.testAccept(enough.transaction, enough.coins)).toMatchObject({ kind: 'accepted' });
    expect(await node.broadcast(enough.transaction, enough.coins)).toMatchObject({ kind: 'accepted' });
    expect(await node.broadcast(first.transaction, first.coins)).toMatchObject({
      kind: 'replaced-by-better',
      byTxid: enough.txid,
    });
    await btcd.call('generate', 1);
  });

  it('says that inputs are spent when a block spends them, and only where it knows that the coin was there', async () => {
    const coin = take();
    const ours = await signed('tr', [coin], 300n);
    const other = await signed('tr', [coin], 5_000n, 2);
    expect(await node.broadcast(other.transaction, other.coins)).toMatchObject({ kind: 'accepted' });
    await btcd.call('generate', 1);
    expect(await node.broadcast(ours.transaction, ours.coins)).toMatchObject({ kind: 'inputs-spent' });
    expect(await node.testAccept(ours.transaction, ours.coins)).toMatchObject({ kind: 'inputs-spent' });
    // To the node this is the same as a coin that it has not seen yet.
    expect(await node.broadcast(ours.transaction)).toMatchObject({ kind: 'unknown' });
  });

  it('does not take a coin that the node has not seen for a spent one', async () => {
    const unborn: Coin = { ...take(), txid: 'ab'.repeat(32), blockHash: 'cd'.repeat(32) };
    const { transaction, coins: places } = await signed('tr', [unborn], 300n);
    expect(await node.broadcast(transaction, places)).toMatchObject({ kind: 'unknown' });
    expect(await node.testAccept(transaction, places)).toMatchObject({ kind: 'unknown' });
  });

  it('says that a fee is below what is relayed', async () => {
    const { transaction, coins: places } = await signed('tr', [take()], 20n);
    expect(await node.testAccept(transaction, places)).toMatchObject({ kind: 'fee-too-low' });
    expect(await node.broadcast(transaction, places)).toMatchObject({ kind: 'fee-too-low' });
  });

  it.each(SCRIPT_KINDS)('refuses for good a signature of %s that is not valid', async (kind) => {
    const good = await signed(kind, [take(kind)], 1_000n);
    const tx = Transaction.fromHex(good.transaction);
    const target = tx.ins[0]?.witness[0] ?? tx.ins[0]?.script;
    if (target) target[20] = (target[20] ?? 0) ^ 1;
    expect(await node.testAccept(tx.toHex(), good.coins)).toMatchObject({ kind: 'refused' });
    expect(await node.broadcast(tx.toHex(), good.coins)).toMatchObject({ kind: 'refused' });
    expect(await node.broadcast(good.transaction, good.coins)).toMatchObject({ kind: 'accepted' });
  });

  it('answers unknown when the answer was lost although it was done, and already known the next time', async () => {
    const { transaction, txid, coins: places } = await signed('tr', [take()], 300n);
    await proxy.setToxics({ type: 'limit_data', stream: 'downstream', attributes: { bytes: 0 } });
    expect(await throughProxy.broadcast(transaction, places)).toMatchObject({ kind: 'unknown' });
    await proxy.setToxics();
    await expect.poll(() => throughProxy.find(txid)).toEqual({ transaction, blockHash: null });
    expect(await throughProxy.broadcast(transaction, places)).toMatchObject({ kind: 'already-known' });
  });

  it('answers unknown, or says that it cannot be asked, when nothing answers', async () => {
    const { transaction, coins: places } = await signed('tr', [take()], 300n);
    await proxy.setToxics({ type: 'latency', stream: 'downstream', attributes: { latency: 60_000 } });
    expect(await throughProxy.testAccept(transaction, places)).toMatchObject({ kind: 'unknown' });
    await proxy.setToxics({ type: 'reset_peer', stream: 'downstream', attributes: { timeout: 0 } });
    expect(await throughProxy.broadcast(transaction, places)).toMatchObject({ kind: 'unknown' });
    await expect(throughProxy.feeRate(6)).rejects.toThrow(SourceError);
    await expect(throughProxy.relayFees()).rejects.toThrow(SourceError);
    await expect(throughProxy.coinState(places[0]?.outpoint ?? '')).rejects.toThrow(SourceError);
  });

  it('knows what fees the node asks for, and has an estimate or none', async () => {
    expect(await node.relayFees()).toEqual({ minimumSatsPerKvb: 1_000n, incrementalSatsPerKvb: 1_000n });
    const estimate = await node.feeRate(6);
    if (estimate) expect(estimate.satsPerKvb).toBeGreaterThan(0n);
    const far = await node.feeRate(1_000);
    if (far) expect(far.blocks).toBeLessThanOrEqual(25);
  });

  it('takes a payment of one kind to all others, signed by the library alone, as ours', async () => {
    // What our check lets through of another signer is what the network takes: bitcoinjs-lib's own finalizer here.
    const payer = payers.wpkh;
    const coin = take('wpkh');
    const plan = planOf(payer, {
      inputs: [coin],
      outputs: SCRIPT_KINDS.map((kind) => ({ script: payers[kind].script(0, 50), amountSats: 100_000n })),
    });
    const psbt = Psbt.fromBuffer(Buffer.from(await payer.sign(psbtOf(payer, plan)))).finalizeAllInputs();
    const theirs = psbt.extractTransaction(true).toHex();
    expect(checkSigned(psbt.toBase64(), plan)).toMatchObject({ kind: 'complete', transaction: theirs });
    expect(await node.broadcast(theirs, placesOf([coin]))).toMatchObject({ kind: 'accepted' });
  });
});
