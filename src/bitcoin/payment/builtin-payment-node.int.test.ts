import { Transaction } from 'bitcoinjs-lib';
import { beforeEach, describe, expect, it } from 'vitest';
import { createTestPayer, planOf, psbtOf, SCRIPT_KINDS } from '../../../test/support/payment-plan.js';
import { accepted } from '../../../test/support/regtest-coins.js';
import { openTestChain } from '../../../test/support/test-chain.js';
import { scriptToAddress } from '../descriptors/address-script.js';
import type { ScriptKind } from '../descriptors/parse-descriptor.js';
import type { RegtestChain } from '../regtest/regtest-chain.js';
import { createBuiltinPaymentNode } from './builtin-payment-node.js';
import { checkSigned, type SignedTransaction } from './check-signed.js';
import { createNoPaymentNode } from './no-payment-node.js';
import type { PaymentNode } from './payment-node.js';

interface Funded {
  txid: string;
  vout: number;
  amountSats: bigint;
  index: number;
  blockHash: string;
}

let chain: RegtestChain;
let node: PaymentNode;
beforeEach(async () => {
  chain = await openTestChain();
  node = createBuiltinPaymentNode(chain);
});

/** A coin of 100,000 satoshis in a block. */
async function fund(kind: ScriptKind, index = 0): Promise<Funded> {
  const script = createTestPayer(kind).script(0, index);
  const address = scriptToAddress(Buffer.from(script, 'hex'), 'regtest') ?? '';
  const { txid } = accepted(await chain.pay({ address, amountSats: 100_000n }));
  const { hashes } = accepted(await chain.mine({ blocks: 1 }));
  const raw = (await chain.findTransaction(txid))?.raw ?? new Uint8Array();
  const vout = Transaction.fromBuffer(raw).outs.findIndex(
    (output) => Buffer.from(output.script).toString('hex') === script,
  );
  return { txid, vout, amountSats: 100_000n, index, blockHash: hashes[0] ?? '' };
}

async function pay(kind: ScriptKind, coins: Funded[], feeSats: bigint): Promise<SignedTransaction> {
  const payer = createTestPayer(kind);
  const total = coins.reduce((sum, { amountSats }) => sum + amountSats, 0n);
  const plan = planOf(payer, {
    inputs: coins,
    outputs: [{ script: `0014${'ab'.repeat(20)}`, amountSats: 50_000n }],
    change: { index: 9, amountSats: total - 50_000n - feeSats },
  });
  const previous = await node.previousTransactions(coins);
  expect([...previous.keys()]).toEqual([...new Set(coins.map(({ txid }) => txid))]);
  const parents = [...previous.values()].map((raw) => Transaction.fromBuffer(raw));
  const checked = checkSigned(await payer.sign(psbtOf(payer, plan, parents)), plan);
  if (checked.kind !== 'complete') throw new Error(JSON.stringify(checked));
  return checked;
}

describe('the built-in chain to pay through', () => {
  it.each(SCRIPT_KINDS)('takes payments of %s, and tells where they are', async (kind) => {
    const coin = await fund(kind);
    const { transaction, txid, inputs } = await pay(kind, [coin], 1_000n);
    expect(await node.testAccept(transaction)).toMatchObject({ kind: 'accepted' });
    expect(await node.find(txid)).toBeUndefined();
    expect(await node.coinState(inputs[0] ?? '')).toEqual({ state: 'unspent' });
    expect(await node.broadcast(transaction)).toMatchObject({ kind: 'accepted' });
    expect(await node.broadcast(transaction)).toMatchObject({ kind: 'already-known' });
    expect(await node.find(txid)).toEqual({ transaction, blockHash: null });
    expect(await node.coinState(inputs[0] ?? '')).toEqual({ state: 'spent-in-mempool', byTxid: txid });
    expect(await node.coinState(`${txid}:1`)).toEqual({ state: 'unspent' });
    const { hashes } = accepted(await chain.mine({ blocks: 1 }));
    expect(await node.broadcast(transaction)).toMatchObject({ kind: 'already-in-chain' });
    expect(await node.find(txid)).toEqual({ transaction, blockHash: hashes[0] });
    expect(await node.coinState(inputs[0] ?? '')).toEqual({ state: 'missing' });
  });

  it('says which of two payments of a coin stands', async () => {
    const coin = await fund('tr');
    const first = await pay('tr', [coin], 1_000n);
    const tooLow = await pay('tr', [coin], 1_010n);
    const better = await pay('tr', [coin], 2_000n);
    await node.broadcast(first.transaction);
    expect(await node.testAccept(tooLow.transaction)).toMatchObject({ kind: 'fee-too-low', byTxid: first.txid });
    expect(await node.broadcast(better.transaction)).toMatchObject({ kind: 'accepted' });
    expect(await node.broadcast(first.transaction)).toMatchObject({ kind: 'replaced-by-better', byTxid: better.txid });
    // A miner may confirm the one that was replaced all the same.
    accepted(await chain.mine({ blocks: 1, transactions: [first.transaction] }));
    expect(await node.broadcast(better.transaction)).toMatchObject({ kind: 'inputs-spent' });
    expect(await node.broadcast(first.transaction)).toMatchObject({ kind: 'already-in-chain' });
  });

  it('does not call a coin spent whose transaction it does not have', async () => {
    const parent = await pay('tr', [await fund('tr')], 1_000n);
    const change = { txid: parent.txid, vout: 1, amountSats: 49_000n, index: 9, blockHash: '' };
    const payer = createTestPayer('tr');
    const plan = planOf(payer, {
      inputs: [{ ...change, branch: 1 }],
      outputs: [{ script: `0014${'ab'.repeat(20)}`, amountSats: 48_000n }],
    });
    const child = checkSigned(await payer.sign(psbtOf(payer, plan)), plan);
    if (child.kind !== 'complete') throw new Error(JSON.stringify(child));
    expect(await node.broadcast(child.transaction)).toMatchObject({ kind: 'unknown' });
    await node.broadcast(parent.transaction);
    expect(await node.broadcast(child.transaction)).toMatchObject({ kind: 'accepted' });
  });

  it('refuses for good what is not valid, and for now what pays too little', async () => {
    const coin = await fund('wpkh');
    const good = await pay('wpkh', [coin], 1_000n);
    const forged = Transaction.fromHex(good.transaction);
    const [output] = forged.outs;
    if (output) output.value += 1n;
    expect(await node.broadcast(forged.toHex())).toMatchObject({ kind: 'refused' });
    expect(await node.broadcast((await pay('wpkh', [coin], 20n)).transaction)).toMatchObject({ kind: 'fee-too-low' });
    expect(await node.broadcast(good.transaction)).toMatchObject({ kind: 'accepted' });
  });

  it('finds previous transactions in blocks that a reorg took off, and unconfirmed ones in its mempool', async () => {
    const coin = await fund('wpkh');
    accepted(await chain.reorg({ depth: 1, blocks: 2, dropTransactions: true }));
    expect([...(await node.previousTransactions([coin])).keys()]).toEqual([coin.txid]);
    const { txid } = accepted(await chain.pay({ address: chain.minerAddress, amountSats: 10_000n }));
    const found = await node.previousTransactions([
      { txid, blockHash: null },
      { txid: 'ab'.repeat(32), blockHash: null },
      { txid: 'cd'.repeat(32), blockHash: 'ef'.repeat(32) },
    ]);
    expect([...found.keys()]).toEqual([txid]);
    expect(Transaction.fromBuffer(found.get(txid) ?? new Uint8Array()).getId()).toBe(txid);
  });

  it('answers what it does not know with "unknown" once it is closed', async () => {
    const { transaction } = await pay('wpkh', [await fund('wpkh')], 1_000n);
    await chain.close();
    expect(await node.broadcast(transaction)).toMatchObject({ kind: 'unknown' });
  });
});

describe('without a node', () => {
  it('nothing can be sent, and previous transactions come from the pushed blocks', async () => {
    const coin = await fund('wpkh');
    const none = createNoPaymentNode({
      blocks: async (hashes) => Promise.all(hashes.map(async (hash) => (await chain.block(hash)) ?? new Uint8Array())),
    });
    expect(none.canSend).toBe(false);
    const { transaction } = await pay('wpkh', [coin], 1_000n);
    expect(await none.broadcast(transaction)).toMatchObject({ kind: 'unknown' });
    expect(await none.testAccept(transaction)).toMatchObject({ kind: 'unknown' });
    expect(await none.feeRate(6)).toBeUndefined();
    expect([...(await none.previousTransactions([coin])).keys()]).toEqual([coin.txid]);
  });
});
