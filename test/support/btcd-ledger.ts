import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Block, Transaction } from 'bitcoinjs-lib';
import { expect } from 'vitest';
import { paymentsIn } from './count-payments.js';
import { startBtcd, type Btcd, type BtcdOptions } from './btcd.js';
import { craftBlock } from './crafted-blocks.js';
import { createTestDatabase } from './database.js';
import { createLedgerClient, type Answer, type LedgerClient } from './ledger-client.js';
import { runTallystick, startLedgerProcess } from './ledger-process.js';
import { createTestWallet, type TestCoin } from './regtest-wallet.js';
import { readWithdrawal, type SeenWithdrawal } from './seen-withdrawal.js';
import { startToxiproxy, type Toxiproxy } from './toxiproxy.js';

export const WAIT_MS = 60_000;
/** Blocks that make the first coinbases spendable, and some more of them. */
const FIRST_BLOCKS = 120;
const SEQUENCE_REPLACEABLE = 0xfffffffd;

export interface BtcdLedger {
  /** The node of the moment: another one after `restartNode`. */
  node(): Btcd;
  /** Between the ledger and the node. */
  proxy: Toxiproxy;
  url: string;
  client: LedgerClient;
  /** Keys of the test: who mines, and who receives. */
  bank: ReturnType<typeof createTestWallet>;
  /** A command that must be accepted. */
  command(path: string, body: unknown, key?: string): Promise<Answer>;
  /** Opens an account and a wallet of this name, with so many confirmed coins in it. */
  fundedWallet(name: string, coins: readonly bigint[], wallet?: Record<string, unknown>): Promise<void>;
  withdraw(request: Record<string, unknown>): Promise<void>;
  withdrawal(withdrawalId: string): Promise<SeenWithdrawal>;
  /** Waits until the withdrawal looks like this. */
  until(withdrawalId: string, like: object): Promise<SeenWithdrawal>;
  generate(blocks: number): Promise<string[]>;
  /** Mines one block on the tip with these transactions and no other, as a miner of their own choice may. */
  mineOnly(transactions: readonly string[]): Promise<string>;
  /** SIGKILL, and a new node with an empty mempool at the same place that has the blocks. */
  restartNode(): Promise<void>;
  health(): Promise<{ status: number; body: Record<string, unknown> }>;
  /** `tallystick verify`, beside the running ledger, finds nothing. */
  verify(): Promise<void>;
  close(): Promise<void>;
}

export interface BtcdLedgerOptions {
  /** What the ledger is told to be the node, where something stands between it and the node of this URL. */
  through?: (url: string) => Promise<string>;
  /** Runs the ledger; one process with all roles where it is not given. `close` throws where it ended by itself. */
  run?: (environment: Record<string, string>) => Promise<{ url: string; close: () => Promise<void> }>;
  /** The database; one of its own where it is not given. */
  databaseUrl?: string;
}

/** The real binary, following a real btcd that has relay rules like Bitcoin Core's, through a proxy that can lose answers. */
export async function startBtcdLedger(
  env: Record<string, string> = {},
  options: BtcdLedgerOptions = {},
): Promise<BtcdLedger> {
  const cleanups: (() => Promise<unknown>)[] = [];
  const close = async (): Promise<void> => {
    const ended = cleanups.splice(0).reverse();
    const errors: unknown[] = [];
    for (const cleanup of ended) await cleanup().catch((error: unknown) => errors.push(error));
    if (errors.length > 0) throw new AggregateError(errors, errors.map(String).join('\n'));
  };
  try {
    return await start(env, options, cleanups, close);
  } catch (error) {
    await close();
    throw error;
  }
}

async function runOneProcess(environment: Record<string, string>): ReturnType<NonNullable<BtcdLedgerOptions['run']>> {
  const ledger = await startLedgerProcess(environment);
  let isGone = false;
  void ledger.exited.then(() => (isGone = true));
  return {
    url: ledger.url,
    close: async () => {
      if (isGone) throw new Error(`the ledger ended by itself:\n${ledger.output()}`);
      await ledger.kill();
    },
  };
}

async function start(
  env: Record<string, string>,
  { through = (url) => Promise.resolve(url), run = runOneProcess, databaseUrl }: BtcdLedgerOptions,
  cleanups: (() => Promise<unknown>)[],
  close: () => Promise<void>,
): Promise<BtcdLedger> {
  const bank = createTestWallet(41);
  const btcdOptions: BtcdOptions = { miningAddress: bank.addressOf('p2wpkh', 0) };
  let btcd = await startBtcd(btcdOptions);
  cleanups.push(() => btcd.stop());
  const spendable = await coinbases(btcd, await btcd.call<string[]>('generate', FIRST_BLOCKS));
  const proxy = await startToxiproxy(btcd.rpcPort);
  cleanups.push(() => proxy.stop());
  const database = databaseUrl === undefined ? await createTestDatabase() : undefined;
  if (database !== undefined) cleanups.push(() => database.drop());
  const dataDir = mkdtempSync(join(tmpdir(), 'tallystick-btcd-'));
  cleanups.push(() => rm(dataDir, { recursive: true, force: true }));
  const environment = {
    BITCOIN_NETWORK: 'regtest',
    BITCOIN_RPC_URL: await through(btcd.url.replace(String(btcd.rpcPort), String(proxy.port))),
    DATABASE_URL: databaseUrl ?? database?.url ?? '',
    DATA_DIR: dataDir,
    PAYOUT_WINDOW_MS: '100',
    ...env,
  };
  const ledger = await run(environment);
  cleanups.push(() => ledger.close());
  const client = createLedgerClient(ledger.url);
  let keys = 0;

  const self: BtcdLedger = {
    node: () => btcd,
    proxy,
    url: ledger.url,
    client,
    bank,
    command: async (path, body, key = `key-${++keys}`) => {
      const answer = await client.post(path, body, key);
      if (answer.status >= 300) throw new Error(`${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
      return answer;
    },
    fundedWallet: async (name, coins, wallet = { signer: 'local' }) => {
      await self.command('/v1/accounts', { accountId: name });
      await self.command('/v1/wallets', { walletId: name, ...wallet });
      const issued = await self.command(`/v1/wallets/${name}/addresses`, { accountId: name });
      const coin = spendable.shift();
      if (coin === undefined) throw new Error('the bank has no coin left');
      const outputs = coins.map((amountSats) => ({ address: String(issued.body['address']), amountSats }));
      const change = coin.amountSats - coins.reduce((sum, sats) => sum + sats, 0n) - 10_000n;
      outputs.push({ address: bank.addressOf('p2wpkh', 1), amountSats: change });
      await btcd.call('sendrawtransaction', bank.spend([coin], outputs, { sequence: SEQUENCE_REPLACEABLE }));
      await btcd.call('generate', 1);
      const wanted = coins.reduce((sum, sats) => sum + sats, 0n);
      const available = async (): Promise<unknown> => (await client.get(`/v1/accounts/${name}`)).body['availableSats'];
      await expect.poll(available, { timeout: WAIT_MS }).toBe(wanted.toString());
    },
    withdraw: async (request) => {
      const answer = await self.command('/v1/withdrawals', request);
      expect(answer.status).toBe(202);
    },
    withdrawal: (id) => readWithdrawal(client, id),
    until: async (id, like) => {
      await expect.poll(() => self.withdrawal(id), { timeout: WAIT_MS, message: id }).toMatchObject(like);
      return await self.withdrawal(id);
    },
    generate: (blocks) => btcd.call<string[]>('generate', blocks),
    mineOnly: async (transactions) => {
      const hash = await btcd.call<string>('getbestblockhash');
      const tip = Block.fromHex(await btcd.call('getblock', hash, 0));
      const height = await btcd.call<number>('getblockcount');
      const block = craftBlock(
        { tip: () => ({ hash, height }), blockInfo: () => undefined },
        { time: tip.timestamp + 1, transactions: transactions.map((raw) => Transaction.fromHex(raw)) },
      );
      expect(await btcd.call('submitblock', Buffer.from(block).toString('hex'))).toBeNull();
      return Block.fromBuffer(block).getId();
    },
    restartNode: async () => {
      const blocks = await rawBlocks(btcd);
      await btcd.kill();
      btcd = await startBtcd({ ...btcdOptions, rpcPort: btcd.rpcPort });
      for (const block of blocks) await btcd.call('submitblock', block);
    },
    health: async () => {
      const { status, body } = await client.get('/health/ready');
      return { status, body };
    },
    verify: async () => {
      const verified = await runTallystick(['verify', '--json'], environment);
      expect(verified, 'verify').toMatchObject({ code: 0 });
    },
    close,
  };
  return self;
}

/** The coins of the first blocks that can be spent now. */
async function coinbases(btcd: Btcd, hashes: readonly string[]): Promise<TestCoin[]> {
  const coins: TestCoin[] = [];
  for (const hash of hashes.slice(0, hashes.length - 100)) {
    const coinbase = Block.fromHex(await btcd.call('getblock', hash, 0)).transactions?.[0];
    const amountSats = coinbase?.outs[0]?.value;
    if (coinbase === undefined || amountSats === undefined) throw new Error('a block without a coinbase');
    coins.push({
      type: 'p2wpkh',
      index: 0,
      txid: coinbase.getId(),
      vout: 0,
      amountSats,
      rawParent: coinbase.toBuffer(),
    });
  }
  return coins;
}

async function rawBlocks(btcd: Btcd): Promise<string[]> {
  const blocks: string[] = [];
  const height = await btcd.call<number>('getblockcount');
  for (let at = 1; at <= height; at += 1) {
    blocks.push(await btcd.call<string>('getblock', await btcd.call<string>('getblockhash', at), 0));
  }
  return blocks;
}

/** What each address has got on the node's best chain, counted by a stranger. */
export async function countPayments(btcd: Btcd): Promise<(address: string) => bigint[]> {
  return paymentsIn((await rawBlocks(btcd)).map((hex) => Buffer.from(hex, 'hex')));
}
