import { Transaction } from 'bitcoinjs-lib';
import { createServer, type Server } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { SourceError } from '../block-source.js';
import type { PaymentNode } from './payment-node.js';
import { createRpcPaymentNode, PAYMENT_METHODS } from './rpc-payment-node.js';

type Reply = { result: unknown } | { error: { code: number; message: string } };
type Methods = Record<string, (...params: never[]) => Reply>;

const MISSING: Reply = { error: { code: -32601, message: 'Method not found' } };

const servers: Server[] = [];
const nodes: PaymentNode[] = [];
afterEach(async () => {
  for (const node of nodes.splice(0)) await node.close();
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

/** A node over real HTTP that answers as it was recorded; what it is not told is "method not found". */
async function nodeOf(
  methods: Methods,
): Promise<{ node: PaymentNode; asked: { method: string; params: unknown[] }[] }> {
  const asked: { method: string; params: unknown[] }[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      type Call = { id: number; method: string; params: never[] };
      const calls = JSON.parse(body) as Call | Call[];
      const answer = ({ id, method, params }: Call) => {
        asked.push({ method, params });
        return { id, result: null, error: null, ...(methods[method]?.(...params) ?? MISSING) };
      };
      response.end(JSON.stringify(Array.isArray(calls) ? calls.map(answer) : answer(calls)));
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (typeof address !== 'object' || !address) throw new Error('no address');
  const node = createRpcPaymentNode({
    url: `http://u:p@127.0.0.1:${address.port}`,
    blocks: () => Promise.reject(new SourceError('unavailable', 'not in this test')),
  });
  nodes.push(node);
  return { node, asked };
}

const PARENT = 'aa'.repeat(32);
const BLOCK = 'bb'.repeat(32);
const OTHER = 'ee'.repeat(32);
const COINS = [{ outpoint: `${PARENT}:0`, blockHash: BLOCK }];

function payment(): { transaction: string; txid: string } {
  const tx = new Transaction();
  tx.version = 2;
  tx.addInput(Buffer.from(PARENT, 'hex'), 0, 0xfffffffd);
  tx.addOutput(Buffer.from(`0014${'ab'.repeat(20)}`, 'hex'), 1_000n);
  return { transaction: tx.toHex(), txid: tx.getId() };
}
const { transaction, txid } = payment();

/** Bitcoin Core with the coin unspent in a block of its best chain, without an index of transactions. */
const core: Methods = {
  getrawtransaction: () => ({ error: { code: -5, message: 'No such mempool transaction. Use -txindex …' } }),
  gettxspendingprevout: () => ({ result: [{ txid: PARENT, vout: 0 }] }),
  gettxout: (of: string) => ({ result: of === PARENT ? { bestblock: BLOCK, confirmations: 3, value: 1 } : null }),
  getblockheader: () => ({ result: { confirmations: 3 } }),
};
const refusing = (code: number, message: string): Methods => ({
  ...core,
  sendrawtransaction: () => ({ error: { code, message } }),
});

describe('Bitcoin Core', () => {
  it('takes a payment, and takes it again when it has it', async () => {
    const { node, asked } = await nodeOf({ ...core, sendrawtransaction: () => ({ result: txid }) });
    expect(await node.broadcast(transaction, COINS)).toMatchObject({ kind: 'accepted' });
    expect(asked).toEqual([{ method: 'sendrawtransaction', params: [transaction, expect.any(Number) as number] }]);
  });

  it('that answers another txid has not taken it', async () => {
    const { node } = await nodeOf({ ...core, sendrawtransaction: () => ({ result: OTHER }) });
    expect(await node.broadcast(transaction, COINS)).toMatchObject({ kind: 'unknown' });
  });

  it('that says "missing or spent" is asked for the coin: spent in a block', async () => {
    const gone: Methods = {
      ...refusing(-25, 'bad-txns-inputs-missingorspent'),
      gettxout: () => ({ result: null }),
    };
    const { node, asked } = await nodeOf(gone);
    expect(await node.broadcast(transaction, COINS)).toMatchObject({ kind: 'inputs-spent' });
    for (const { method } of asked) expect(PAYMENT_METHODS).toContain(method);
  });

  it('that says "missing or spent" is asked for the coin: its block is not in the best chain', async () => {
    const gone = { ...refusing(-25, 'bad-txns-inputs-missingorspent'), gettxout: () => ({ result: null }) };
    for (const header of [{ result: { confirmations: -1 } }, { error: { code: -5, message: 'Block not found' } }]) {
      const { node } = await nodeOf({ ...gone, getblockheader: () => header });
      expect(await node.broadcast(transaction, COINS)).toMatchObject({ kind: 'unknown' });
    }
  });

  it('that says "missing or spent" has it in the chain, which an unspent output shows without an index', async () => {
    const confirmed: Methods = {
      ...refusing(-25, 'bad-txns-inputs-missingorspent'),
      gettxout: (of: string) => ({ result: of === txid ? { bestblock: BLOCK, confirmations: 1, value: 1 } : null }),
    };
    const { node } = await nodeOf(confirmed);
    expect(await node.broadcast(transaction, COINS)).toMatchObject({ kind: 'already-in-chain' });
  });

  it('with an index that knows it from a stale block only does not have it', async () => {
    const stale: Methods = {
      ...refusing(-26, 'min relay fee not met'),
      getrawtransaction: () => ({ result: { hex: transaction, blockhash: BLOCK, confirmations: 0 } }),
    };
    const { node } = await nodeOf(stale);
    expect(await node.broadcast(transaction, COINS)).toMatchObject({ kind: 'fee-too-low' });
    expect(await node.find(txid)).toBeUndefined();
  });

  it('refuses a replacement, and names what it stands by', async () => {
    const conflict: Methods = {
      ...refusing(-26, 'insufficient fee, rejecting replacement'),
      gettxspendingprevout: () => ({ result: [{ txid: PARENT, vout: 0, spendingtxid: OTHER }] }),
      gettxout: () => ({ result: null }),
      testmempoolaccept: () => ({
        result: [
          { txid, allowed: false, 'reject-reason': 'insufficient fee', 'reject-details': 'insufficient fee, …' },
        ],
      }),
    };
    const { node } = await nodeOf(conflict);
    expect(await node.broadcast(transaction, COINS)).toMatchObject({ kind: 'replaced-by-better', byTxid: OTHER });
    expect(await node.testAccept(transaction, COINS)).toMatchObject({ kind: 'fee-too-low', byTxid: OTHER });
  });

  it('refuses a bad signature for good, and a fee below what it relays until it is higher', async () => {
    const bad = await nodeOf(refusing(-26, 'mempool-script-verify-flag-failed (Invalid Schnorr signature)'));
    expect(await bad.node.broadcast(transaction, COINS)).toMatchObject({ kind: 'refused' });
    const low = await nodeOf(refusing(-26, 'mempool min fee not met'));
    expect(await low.node.broadcast(transaction, COINS)).toMatchObject({ kind: 'fee-too-low' });
  });

  it('is not believed while it starts, or where it cannot say what its mempool spends', async () => {
    const starting = await nodeOf(refusing(-28, 'Loading block index…'));
    expect(await starting.node.broadcast(transaction, COINS)).toMatchObject({ kind: 'unknown' });
    const old = { ...refusing(-26, 'insufficient fee'), gettxspendingprevout: () => MISSING };
    expect(await (await nodeOf(old)).node.broadcast(transaction, COINS)).toMatchObject({ kind: 'unknown' });
  });

  it('says what fees are due', async () => {
    const { node } = await nodeOf({
      estimatesmartfee: () => ({ result: { feerate: 0.00012345, blocks: 2 } }),
      getmempoolinfo: () => ({
        result: { mempoolminfee: 0.00002, minrelaytxfee: 0.000001, incrementalrelayfee: 0.000001 },
      }),
    });
    expect(await node.feeRate(1)).toEqual({ satsPerKvb: 12_345n, blocks: 2 });
    expect(await node.relayFees()).toEqual({ minimumSatsPerKvb: 2_000n, incrementalSatsPerKvb: 100n });
  });

  it('may have no estimate, or an absurd one: then there is none', async () => {
    const none = await nodeOf({
      estimatesmartfee: () => ({ result: { errors: ['Insufficient data or no feerate found'], blocks: 2 } }),
    });
    expect(await none.node.feeRate(6)).toBeUndefined();
    const absurd = await nodeOf({ estimatesmartfee: () => ({ result: { feerate: 20, blocks: 2 } }) });
    expect(await absurd.node.feeRate(6)).toBeUndefined();
  });

  it('that gives another transaction than the one asked for is not believed', async () => {
    const { node } = await nodeOf({ getrawtransaction: () => ({ result: { hex: transaction } }) });
    expect(await node.find(txid)).toEqual({ transaction, blockHash: null });
    await expect(node.find(OTHER)).rejects.toThrow(SourceError);
  });

  it('knows a coin as unspent, as spent in its mempool, or not', async () => {
    expect(await (await nodeOf(core)).node.coinState(`${PARENT}:0`)).toEqual({ state: 'unspent' });
    const spent = {
      ...core,
      gettxspendingprevout: () => ({ result: [{ txid: PARENT, vout: 0, spendingtxid: OTHER }] }),
    };
    expect(await (await nodeOf(spent)).node.coinState(`${PARENT}:0`)).toEqual({
      state: 'spent-in-mempool',
      byTxid: OTHER,
    });
    const gone = { ...core, gettxout: () => ({ result: null }) };
    expect(await (await nodeOf(gone)).node.coinState(`${PARENT}:0`)).toEqual({ state: 'missing' });
  });
});

describe('btcd', () => {
  it('has an estimator of its own, in fractions of a satoshi, for 25 blocks', async () => {
    const { node, asked } = await nodeOf({ estimatefee: () => ({ result: 0.00004545454545454546 }) });
    expect(await node.feeRate(144)).toEqual({ satsPerKvb: 4_546n, blocks: 25 });
    expect(asked.map(({ method }) => method)).toEqual(['estimatesmartfee', 'estimatefee']);
  });

  it.each([0, -1])('has no estimate where it says %d', async (result) => {
    const { node } = await nodeOf({ estimatefee: () => ({ result }) });
    expect(await node.feeRate(6)).toBeUndefined();
  });

  it('says what it relays in getinfo', async () => {
    const { node } = await nodeOf({
      getmempoolinfo: () => ({ result: { size: 0, bytes: 0 } }),
      getinfo: () => ({ result: { relayfee: 0.00001 } }),
    });
    expect(await node.relayFees()).toEqual({ minimumSatsPerKvb: 1_000n, incrementalSatsPerKvb: 1_000n });
  });

  it('leaves "allowed" out where it refuses', async () => {
    const refusal = { txid, 'reject-reason': 'transaction X has been rejected by the rate limiter due to low fees' };
    const { node, asked } = await nodeOf({ ...core, testmempoolaccept: () => ({ result: [refusal] }) });
    expect(await node.testAccept(transaction, COINS)).toMatchObject({ kind: 'fee-too-low' });
    // It wants the second parameter, and 0 would mean another thing than to Bitcoin Core.
    expect(asked[0]).toEqual({ method: 'testmempoolaccept', params: [[transaction], 0.5] });
  });
});
