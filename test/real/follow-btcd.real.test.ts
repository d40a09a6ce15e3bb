import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { address as codec } from 'bitcoinjs-lib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { BlockSource } from '../../src/bitcoin/block-source.js';
import type { FollowerState } from '../../src/bitcoin/follow/follower-status.js';
import type { Follower, FollowerDeps } from '../../src/bitcoin/follow/follower.js';
import { createRpcSource } from '../../src/bitcoin/rpc/rpc-source.js';
import { freePort, startBtcd, type Btcd } from '../support/btcd.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { createFollowLedger, type FollowLedger } from '../support/follow-ledger.js';
import { createTestWallet } from '../support/regtest-wallet.js';
import { addressToScript } from '../../src/bitcoin/descriptors/address-script.js';

const WAIT_MS = 30_000;
/** btcd's `chaincfg`. */
const SIMNET_PUBKEY_HASH = 0x3f;

/** A real node over RPC, and a follower that polls it: nobody tells it to look. */
describe('following btcd', () => {
  let db: TestDatabase;
  let ledgers = 0;
  const cleanups: (() => Promise<unknown> | void)[] = [];
  beforeAll(async () => {
    db = await createTestDatabase();
  });
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });
  afterAll(() => db?.drop());

  async function follow(
    ledger: FollowLedger,
    source: BlockSource,
    overrides: Partial<FollowerDeps> = {},
  ): Promise<Follower> {
    const follower = ledger.follower(source, {
      limits: { firstPauseMs: 20, longestPauseMs: 100, pollMs: 50 },
      ...overrides,
    });
    await follower.start();
    cleanups.push(async () => {
      await follower.stop();
      await source.close();
    });
    return follower;
  }

  async function until(follower: Follower, state: FollowerState, height?: number): Promise<void> {
    const deadline = Date.now() + WAIT_MS;
    for (;;) {
      const { state: now, tip } = follower.status();
      if (now === state && (height === undefined || tip?.height === height)) return;
      if (Date.now() > deadline) throw new Error(`still ${now} at ${tip?.height}: ${follower.status().detail}`);
      await sleep(10);
    }
  }

  it('finds rewards, follows a reorg and the way back, and waits while the node is away', async () => {
    const address = createTestWallet().addressOf('p2wpkh', 0);
    const script = addressToScript(address, 'regtest') ?? new Uint8Array();
    let node = await startBtcd({ miningAddress: address });
    cleanups.push(() => node.stop());
    const ledger = createFollowLedger(db, `btcd-${++ledgers}`);
    await ledger.createWallet('miner');
    await ledger.watchScript('miner', script);
    const source = createRpcSource({ url: node.url, network: 'regtest', pollIntervalMs: 20 });
    const follower = await follow(ledger, source);
    await node.call('generate', 300);
    await until(follower, 'synced', 300);

    const lost = await node.call<string>('getblockhash', 296);
    await node.call('invalidateblock', lost);
    // The node's best block is an older one of ours now: it is behind.
    await until(follower, 'node-behind', 300);
    await node.call('generate', 4);
    await sleep(200);
    expect(follower.status().tip?.height).toBe(300);
    await node.call('generate', 3);
    await until(follower, 'synced', 302);
    expect(follower.status()).toMatchObject({ deepestReorg: 5, tip: { hash: await node.call('getbestblockhash') } });
    await node.call('reconsiderblock', lost);
    await node.call('invalidateblock', await node.call<string>('getblockhash', 296));
    // Back on the first branch, which has 300 blocks; two more make it the better one again.
    await node.call('generate', 3);
    await until(follower, 'synced', 303);

    const story = await ledger.chainStory();
    const steps = story.filter(({ step }) => step === 'disconnected').length;
    expect(steps).toBe(5 + 7);
    const chain: string[] = [];
    for (const step of story) {
      if (step.step === 'disconnected') expect(chain.pop()).toBe(step.hash);
      if (step.step !== 'connected') continue;
      chain.push(step.hash);
      expect(step.found.received).toMatchObject([{ walletId: 'miner', coinbase: true, address }]);
    }
    for (const height of [1, 295, 296, 300, 303]) {
      expect(chain[height - 1]).toBe(await node.call('getblockhash', height));
    }

    const head = await ledger.outbox.head();
    const { rpcPort } = node;
    await node.stop();
    await until(follower, 'unavailable');
    // btcd's regtest has forgotten everything: its tip is our genesis.
    node = await startBtcd({ miningAddress: address, rpcPort });
    await until(follower, 'node-behind', 303);
    expect(await ledger.outbox.head()).toBe(head);
    expect(ledger.fatal).toEqual([]);
  });

  it('a reorg of 1,000 blocks', async () => {
    const node = await startBtcd({ miningAddress: createTestWallet().addressOf('p2wpkh', 0) });
    cleanups.push(() => node.stop());
    const ledger = createFollowLedger(db, `btcd-${++ledgers}`);
    const source = createRpcSource({ url: node.url, network: 'regtest', pollIntervalMs: 20 });
    const follower = await follow(ledger, source);
    await node.call('generate', 1_100);
    await until(follower, 'synced', 1_100);
    await node.call('invalidateblock', await node.call<string>('getblockhash', 101));
    await node.call('generate', 1_001);
    await until(follower, 'synced', 1_101);
    expect(follower.status()).toMatchObject({
      deepestReorg: 1_000,
      finalityBroken: true,
      tip: { hash: await node.call('getbestblockhash') },
    });
    expect(ledger.fatal).toEqual([]);
  });

  it('a node that was killed comes back behind its own past, and then mines another branch', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'tallystick-test-simnet-'));
    cleanups.push(() => rmSync(directory, { recursive: true, force: true }));
    const miningAddress = codec.toBase58Check(new Uint8Array(20).fill(1), SIMNET_PUBKEY_HASH);
    const rpcPort = await freePort();
    const start = (): Promise<Btcd> => startBtcd({ network: 'simnet', directory, rpcPort, miningAddress });
    let node = await start();
    cleanups.push(() => node.stop());
    await node.call('generate', 30);
    await node.stop();
    node = await start();

    const ledger = createFollowLedger(db, `btcd-${++ledgers}`);
    // Simnet is no network of ours: its rules of work are regtest's, its genesis block is given as the start block.
    const startBlock = { height: 0, hash: await node.call<string>('getblockhash', 0) };
    const rpc = createRpcSource({ url: node.url, network: 'regtest', pollIntervalMs: 20 });
    const follower = await follow(ledger, { ...rpc, check: () => Promise.resolve() }, { startBlock });
    await node.call('generate', 40);
    await until(follower, 'synced', 70);
    await node.kill();
    node = await start();
    await until(follower, 'node-behind', 70);
    const height = await node.call<number>('getblockcount');
    expect(height).toBeLessThan(70);
    const head = await ledger.outbox.head();
    await node.call('generate', 70 - height - 1);
    await sleep(200);
    expect(await ledger.outbox.head()).toBe(head);
    await node.call('generate', 5);
    await until(follower, 'synced', 74);
    expect(follower.status()).toMatchObject({
      deepestReorg: 70 - height,
      tip: { hash: await node.call('getbestblockhash') },
    });
    expect(ledger.fatal).toEqual([]);
  });
});
