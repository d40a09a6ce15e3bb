import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { networks, payments } from 'bitcoinjs-lib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BlockSource } from '../../src/bitcoin/block-source.js';
import { SourceError } from '../../src/bitcoin/block-source.js';
import { headerHash } from '../../src/bitcoin/rpc/fetch-blocks.js';
import { createRpcClient } from '../../src/bitcoin/rpc/rpc-client.js';
import { RpcError } from '../../src/bitcoin/rpc/rpc-error.js';
import { createRpcSource } from '../../src/bitcoin/rpc/rpc-source.js';
import { startBtcd, type Btcd } from '../support/btcd.js';
import { createTestWallet } from '../support/regtest-wallet.js';

const miningAddress = createTestWallet().addressOf('p2wpkh', 0);

async function troubleOf(run: Promise<unknown>): Promise<string> {
  const error: unknown = await run.then(
    () => new Error('no trouble'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof SourceError)) throw error;
  return error.trouble;
}

describe('the RPC source on btcd', () => {
  let node: Btcd;
  let source: BlockSource;
  let stale: string[];

  beforeAll(async () => {
    node = await startBtcd({ miningAddress });
    source = createRpcSource({ url: node.url, network: 'regtest', pollIntervalMs: 20 });
    await node.call('generate', 300);
    const first = await source.hashAt(298);
    stale = [first ?? '', (await source.hashAt(299)) ?? '', (await source.hashAt(300)) ?? ''];
    await node.call('invalidateblock', first);
    await node.call('generate', 10);
  });
  afterAll(async () => {
    await source?.close();
    await node?.stop();
  });

  it('finds the network, the tip and the hashes up to it', async () => {
    await source.check();
    const tip = await source.tip();
    expect(tip).toEqual({ hash: await node.call('getbestblockhash'), height: 307 });
    expect(await source.hashAt(307)).toBe(tip.hash);
    expect(await source.hashAt(308)).toBeUndefined();
  });

  it('gives headers and blocks that hash to what was asked for, stale ones too, and says what is not known', async () => {
    const unknown = 'ab'.repeat(32);
    const hashes = [
      ...stale,
      ...(await Promise.all([1, 150, 307].map(async (height) => (await source.hashAt(height)) ?? ''))),
    ];
    const headers = await source.headers([...hashes, unknown]);
    expect(headers.map((header) => header && headerHash(header))).toEqual([...hashes, undefined]);
    const blocks = await source.blocks(hashes);
    expect(blocks.map(headerHash)).toEqual(hashes);
    expect(await troubleOf(source.blocks([unknown]))).toBe('block-missing');
  });

  it('gives the whole chain in batches', async () => {
    const hashes = await Promise.all(
      Array.from({ length: 307 }, async (_, height) => (await source.hashAt(height)) ?? ''),
    );
    const blocks = await source.blocks(hashes);
    expect(blocks.map(headerHash)).toEqual(hashes);
  });

  it('wakes when a block comes', async () => {
    let woken = 0;
    const stop = source.onWake(() => (woken += 1));
    // The first answer is what the next ones are compared with.
    await expect
      .poll(async () => {
        await node.call('generate', 1);
        return woken;
      })
      .toBeGreaterThan(0);
    stop();
  });

  it('refuses a node of another network, and a wrong password', async () => {
    const elsewhere = createRpcSource({ url: node.url, network: 'signet' });
    expect(await troubleOf(elsewhere.check())).toBe('wrong-network');
    const wrong = createRpcSource({ url: node.url.replace(node.password, 'wrong'), network: 'regtest' });
    expect(await troubleOf(wrong.check())).toBe('unauthorised');
  });

  it("keeps the node's own code and words", async () => {
    const client = createRpcClient({ url: node.url });
    await expect(client.call('sendrawtransaction', ['00'])).rejects.toMatchObject({
      code: -22,
      method: 'sendrawtransaction',
    });
    const outcomes = await client.batch([{ method: 'getblockcount' }, { method: 'nosuchmethod' }]);
    expect(outcomes[1]).toBeInstanceOf(RpcError);
    expect(outcomes[1]).toMatchObject({ code: -32601 });
  });
});

describe('a node that is stopped and comes back', () => {
  it('is unavailable in between, and has its blocks again afterwards', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'tallystick-test-simnet-'));
    // simnet keeps its blocks over a restart, regtest does not. It is none of our networks, so `check` is not asked.
    const pubkey = createTestWallet().keyAt(0).publicKey;
    const simnetAddress = payments.p2wpkh({ pubkey, network: { ...networks.regtest, bech32: 'sb' } }).address ?? '';
    let node: Btcd | undefined;
    let source: BlockSource | undefined;
    try {
      node = await startBtcd({ network: 'simnet', directory, miningAddress: simnetAddress });
      const { rpcPort } = node;
      source = createRpcSource({ url: node.url, network: 'regtest' });
      await node.call('generate', 20);
      const before = await source.tip();
      expect(before.height).toBe(20);
      await node.stop();
      expect(await troubleOf(source.tip())).toBe('unavailable');
      expect(await troubleOf(source.blocks([before.hash]))).toBe('unavailable');
      node = await startBtcd({ network: 'simnet', directory, rpcPort, miningAddress: simnetAddress });
      expect(await source.tip()).toEqual(before);
      expect((await source.blocks([before.hash])).map(headerHash)).toEqual([before.hash]);
    } finally {
      await source?.close();
      await node?.stop();
      rmSync(directory, { recursive: true, force: true });
    }
  });
});
