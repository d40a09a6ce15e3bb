import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { SourceError } from '../../src/bitcoin/block-source.js';
import { createRpcClient, type RpcClient, type RpcClientOptions } from '../../src/bitcoin/rpc/rpc-client.js';
import { createRpcSource } from '../../src/bitcoin/rpc/rpc-source.js';
import { startBtcd, type Btcd } from '../support/btcd.js';
import { createTestWallet } from '../support/regtest-wallet.js';
import { startToxiproxy, type Toxiproxy } from '../support/toxiproxy.js';

/** A real node behind a wire that fails. */
describe('the RPC client on a bad wire', () => {
  let node: Btcd;
  let proxy: Toxiproxy;
  let url: string;

  beforeAll(async () => {
    node = await startBtcd({ miningAddress: createTestWallet().addressOf('p2wpkh', 0) });
    await node.call('generate', 100);
    proxy = await startToxiproxy(node.rpcPort);
    url = node.url.replace(String(node.rpcPort), String(proxy.port));
  });
  afterEach(() => proxy.setToxics());
  afterAll(async () => {
    await proxy?.stop();
    await node?.stop();
  });

  const client = (options: Partial<RpcClientOptions> = {}): RpcClient => createRpcClient({ url, ...options });

  async function failureOf(run: Promise<unknown>): Promise<SourceError> {
    const error: unknown = await run.then(
      () => new Error('no failure'),
      (reason: unknown) => reason,
    );
    if (!(error instanceof SourceError)) throw error;
    return error;
  }

  it('says that what was asked may have been done, when the answer is lost: and it was', async () => {
    const before = await node.call<number>('getblockcount');
    await proxy.setToxics({ type: 'limit_data', stream: 'downstream', attributes: { bytes: 0 } });
    const error = await failureOf(client().call('generate', [1]));
    expect(error).toMatchObject({ trouble: 'unavailable', facts: { wire: 'reset', maybeApplied: true } });
    await expect.poll(() => node.call<number>('getblockcount')).toBe(before + 1);
  });

  it.each([60, 150, 1_000])('never takes an answer that was cut after %d bytes for a whole one', async (bytes) => {
    await proxy.setToxics({ type: 'limit_data', stream: 'downstream', attributes: { bytes } });
    const error = await failureOf(
      client().batch(Array.from({ length: 50 }, (_, height) => ({ method: 'getblockhash', params: [height] }))),
    );
    expect(['unavailable', 'malformed-answer']).toContain(error.trouble);
    expect(error.facts['maybeApplied']).toBe(true);
  });

  it('does not wait for ever for a node that is silent', async () => {
    await proxy.setToxics({ type: 'latency', stream: 'downstream', attributes: { latency: 60_000 } });
    const error = await failureOf(client({ answerTimeoutMs: 200 }).call('getblockcount'));
    expect(error).toMatchObject({ trouble: 'unavailable', facts: { wire: 'answer-timeout' } });
  });

  it('takes an answer that comes in crumbs', async () => {
    await proxy.setToxics({
      type: 'slicer',
      stream: 'downstream',
      attributes: { average_size: 3, size_variation: 2, delay: 10 },
    });
    expect(await client().call('getblockhash', [100])).toMatch(/^[0-9a-f]{64}$/);
  });

  it('reads the same chain when the wire is well again', async () => {
    const source = createRpcSource({ url, network: 'regtest' });
    await proxy.setToxics({ type: 'reset_peer', stream: 'downstream', attributes: { timeout: 0 } });
    expect((await failureOf(source.tip())).trouble).toBe('unavailable');
    await proxy.setToxics();
    await source.check();
    expect((await source.tip()).hash).toBe(await node.call('getbestblockhash'));
    await source.close();
  });
});
