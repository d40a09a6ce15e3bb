import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it, onTestFinished } from 'vitest';
import { accepted, fundTestWallet } from '../../../test/support/regtest-coins.js';
import { createTestWallet } from '../../../test/support/regtest-wallet.js';
import { openTestChain, temporaryDirectory } from '../../../test/support/test-chain.js';
import { openBlockFile } from './block-file.js';
import type { RegtestChain } from './regtest-chain.js';

const wallet = createTestWallet();
const ADDRESS = wallet.addressOf('p2wpkh', 1);
const BLOCKS = 'blk00000.dat';

/** Everything that a chain can be asked for, to compare two of them. */
function snapshotOf(chain: RegtestChain): object {
  return {
    tip: chain.tip(),
    hashes: Array.from({ length: chain.tip().height + 1 }, (_, height) => chain.hashAt(height)),
    coins: [...chain.coins()]
      .map(([key, coin]) => [
        key,
        coin.amountSats,
        coin.height,
        coin.coinbase,
        Buffer.from(coin.script).toString('hex'),
      ])
      .sort(),
    mempool: chain.mempool.list(),
    miner: chain.minerAddress,
  };
}

async function eventfulChain(directory: string): Promise<RegtestChain> {
  const chain = await openTestChain({ directory });
  const coin = await fundTestWallet(chain, wallet, { type: 'p2tr', index: 1, amountSats: 90_000n });
  accepted(await chain.mine({ blocks: 2 }));
  accepted(await chain.submitTransaction(wallet.spend([coin], [{ address: ADDRESS, amountSats: 80_000n }])));
  accepted(await chain.mine({ blocks: 1, transactions: [] }));
  accepted(await chain.reorg({ depth: 2, blocks: 3 }));
  accepted(await chain.reorg({ depth: 1, blocks: 2, dropTransactions: true }));
  for (let count = 0; count < 5; count += 1) accepted(await chain.pay({ address: ADDRESS, amountSats: 20_000n }));
  return chain;
}

describe('opening again', () => {
  it('gives the same chain: blocks, coins, mempool, miner; and it goes on', async () => {
    const directory = temporaryDirectory();
    const before = await eventfulChain(directory);
    const expected = snapshotOf(before);
    await before.close();
    const after = await openTestChain({ directory });
    expect(snapshotOf(after)).toEqual(expected);
    expect(after.opened.cutBytes).toBe(0);
    accepted(await after.mine({ blocks: 1 }));
    accepted(await after.reorg({ depth: 5, blocks: 6 }));
  });

  it('gives the same without having been closed, as after a kill', async () => {
    const directory = temporaryDirectory();
    const before = await eventfulChain(directory);
    const copy = temporaryDirectory();
    cpSync(directory, copy, { recursive: true, filter: (source) => !source.endsWith('/lock') });
    expect(snapshotOf(await openTestChain({ directory: copy }))).toEqual(snapshotOf(before));
  });

  it('serves stale blocks again', async () => {
    const directory = temporaryDirectory();
    const before = await openTestChain({ directory });
    const stale = before.tip().hash;
    accepted(await before.reorg({ depth: 1, blocks: 2 }));
    const raw = await before.block(stale);
    await before.close();
    expect(await (await openTestChain({ directory })).block(stale)).toEqual(raw);
  });

  it('does not bring a transaction back that was forgotten, replaced or evicted', async () => {
    const directory = temporaryDirectory();
    const before = await openTestChain({ directory });
    const coin = await fundTestWallet(before, wallet, { type: 'p2wpkh', index: 1, amountSats: 90_000n });
    accepted(await before.mine({ blocks: 1 }));
    const send = async (amountSats: bigint) =>
      accepted(await before.submitTransaction(wallet.spend([coin], [{ address: ADDRESS, amountSats }]))).txid;
    const replaced = await send(89_000n);
    const evicted = await send(80_000n);
    await before.evict(evicted);
    const forgotten = await send(70_000n);
    accepted(await before.mine({ blocks: 1 }));
    accepted(await before.reorg({ depth: 1, blocks: 2, dropTransactions: true }));
    expect(before.mempool.size).toBe(0);
    await before.close();
    const after = await openTestChain({ directory });
    for (const txid of [replaced, evicted, forgotten]) expect(await after.findTransaction(txid)).toBeUndefined();
  });

  it('has the replacement in the mempool, not the original; and nothing of what was evicted', async () => {
    const directory = temporaryDirectory();
    const before = await openTestChain({ directory });
    const coin = await fundTestWallet(before, wallet, { type: 'p2wpkh', index: 1, amountSats: 90_000n });
    accepted(await before.mine({ blocks: 1 }));
    for (const amountSats of [89_000n, 80_000n]) {
      accepted(await before.submitTransaction(wallet.spend([coin], [{ address: ADDRESS, amountSats }])));
    }
    const { txid } = accepted(await before.pay({ address: ADDRESS, amountSats: 7_000n }));
    await before.evict(txid);
    const expected = before.mempool.list();
    expect(expected).toHaveLength(1);
    await before.close();
    expect((await openTestChain({ directory })).mempool.list()).toEqual(expected);
  });

  it('finishes the first blocks of a chain that were cut short', async () => {
    const directory = temporaryDirectory();
    const before = await openTestChain({ directory });
    const tip = before.tip();
    await before.close();
    truncateSync(join(directory, BLOCKS), 5_000);
    expect((await openTestChain({ directory })).tip()).toEqual(tip);
  });
});

describe('a torn end', () => {
  it('is cut off, at whatever byte of the last block it was torn, and the block before is the tip', async () => {
    const directory = temporaryDirectory();
    const chain = await openTestChain({ directory, preminedBlocks: 0 });
    accepted(await chain.mine({ blocks: 3 }));
    const expected = chain.tip();
    const kept = statSync(join(directory, BLOCKS)).size;
    accepted(await chain.mine({ blocks: 1 }));
    await chain.close();
    const whole = readFileSync(join(directory, BLOCKS));
    expect(whole.length - kept).toBeGreaterThan(150);
    for (let length = kept; length < whole.length; length += 1) {
      writeFileSync(join(directory, BLOCKS), whole.subarray(0, length));
      const file = await openBlockFile(join(directory, BLOCKS));
      let last = '';
      expect(await file.replay(({ hash }) => void (last = hash))).toBe(length - kept);
      expect(last).toBe(expected.hash);
      expect(statSync(join(directory, BLOCKS)).size).toBe(kept);
      await file.close();
      // The whole chain now and then: most of its time is the miner's keys.
      if (length % 20 !== 0) continue;
      writeFileSync(join(directory, BLOCKS), whole.subarray(0, length));
      const torn = await openTestChain({ directory, preminedBlocks: 0 });
      expect(torn.tip()).toEqual(expected);
      expect(torn.opened.cutBytes).toBe(length - kept);
      await torn.close();
    }
  });

  it.each([
    ['zeros, as file systems leave them', Buffer.alloc(300)],
    ['a length of four gigabytes', Buffer.from('fabfb5daffffffff00', 'hex')],
    ['noise', Buffer.from('fabfb5da0500000001020304', 'hex')],
  ])('of %s is cut off', async (_, tail) => {
    const directory = temporaryDirectory();
    const before = await openTestChain({ directory });
    const tip = before.tip();
    await before.close();
    appendFileSync(join(directory, BLOCKS), tail);
    const after = await openTestChain({ directory });
    expect(after.tip()).toEqual(tip);
    expect(after.opened.cutBytes).toBe(tail.length);
    accepted(await after.mine({ blocks: 1 }));
    const next = after.tip();
    await after.close();
    expect((await openTestChain({ directory })).tip()).toEqual(next);
  });

  it('of the mempool is cut off, wherever it is torn: what came before it is there', async () => {
    const directory = temporaryDirectory();
    const chain = await openTestChain({ directory });
    const first = accepted(await chain.pay({ address: ADDRESS, amountSats: 20_000n }));
    const path = join(directory, 'mempool.log');
    const kept = statSync(path).size;
    accepted(await chain.pay({ address: ADDRESS, amountSats: 20_000n }));
    await chain.close();
    const whole = readFileSync(path);
    for (let length = kept; length < whole.length; length += 23) {
      writeFileSync(path, whole.subarray(0, length));
      const torn = await openTestChain({ directory });
      expect(torn.mempool.list().map(({ txid }) => txid)).toEqual([first.txid]);
      await torn.close();
    }
  });
});

describe('damage', () => {
  it('in the middle of the blocks is not cut off: it is an error that says where', async () => {
    const directory = temporaryDirectory();
    await (await openTestChain({ directory })).close();
    const path = join(directory, BLOCKS);
    const bytes = readFileSync(path);
    bytes.writeUInt8(bytes.readUInt8(8_000) ^ 1, 8_000);
    writeFileSync(path, bytes);
    await expect(openTestChain({ directory })).rejects.toThrow(/damaged in the middle/);
    expect(readFileSync(path)).toEqual(bytes);
    // The lock was given back: the next attempt meets the same error, not a directory in use.
    await expect(openTestChain({ directory })).rejects.toThrow(/damaged in the middle/);
  });

  it('to the seed is an error', async () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, 'miner-seed'), 'not a seed');
    await expect(openTestChain({ directory })).rejects.toThrow(/seed .* is damaged/);
  });

  it('is also a seed that is gone from beside its chain', async () => {
    const directory = temporaryDirectory();
    await (await openTestChain({ directory })).close();
    rmSync(join(directory, 'miner-seed'));
    await expect(openTestChain({ directory })).rejects.toThrow(/seed .* is missing/);
  });

  it('by blocks of another network is an error', async () => {
    const directory = temporaryDirectory();
    const chain = await openTestChain();
    const second = await chain.block(chain.hashAt(1) ?? '');
    const length = Buffer.alloc(4);
    length.writeUInt32LE(second?.length ?? 0);
    writeFileSync(join(directory, 'miner-seed'), '05'.repeat(32));
    writeFileSync(
      join(directory, BLOCKS),
      Buffer.concat([Buffer.from('fabfb5da', 'hex'), length, second ?? Buffer.alloc(0)]),
    );
    await expect(openTestChain({ directory })).rejects.toThrow(/does not begin with the genesis block/);
  });
});

describe('the lock', () => {
  it('keeps a second one out, until the first is closed', async () => {
    const directory = temporaryDirectory();
    const first = await openTestChain({ directory });
    await expect(openTestChain({ directory })).rejects.toThrow(`in use by process ${process.pid}`);
    await first.close();
    await openTestChain({ directory });
  });

  it.each([
    ['of a process that is gone', '999999999 1 x'],
    ['of an earlier process with an id that is in use again', `${process.pid} 1 x`],
    ['that is empty', ''],
  ])('%s is taken over', async (_, content) => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, 'lock'), content);
    expect((await openTestChain({ directory })).tip().height).toBe(110);
  });
});

describe('a disk that is full', () => {
  it('stops the chain: nothing that was not written is ever shown, and everything that was shown is there later', async () => {
    const directory = temporaryDirectory();
    const modulePath = compileChain(temporaryDirectory());
    // A limit on the size of files is what the shell offers: writes fail in the middle of a record, as on a full disk.
    const { lines, code } = await runWriter(directory, modulePath, { limitKiB: 64 });
    expect(code).toBe(0);
    const last = lines.at(-1);
    expect(last?.error).toMatch(/could not be written to disk/);
    expect(last?.after).toEqual({ tip: 'FatalError', mine: 'FatalError', block: 'FatalError' });
    const chain = await openTestChain({ directory, blockTimes: { kind: 'live' }, now: Date.now });
    expect(chain.opened.cutBytes).toBeGreaterThan(0);
    for (const { tip } of lines) if (tip) expect(chain.blockInfo(tip)).toBeDefined();
    accepted(await chain.mine({ blocks: 1 }));
  });
});

describe('a chain that was closed', () => {
  it('says so', async () => {
    const chain = await openTestChain();
    await chain.close();
    await chain.close();
    await expect(chain.mine({ blocks: 1 })).rejects.toThrow(/closed/);
  });
});

describe('a process that is killed while it writes', () => {
  it('loses nothing that it has promised: every block, every transaction, and the directory opens', async () => {
    const directory = temporaryDirectory();
    const modulePath = compileChain(temporaryDirectory());
    const promised: Promised[] = [];
    for (let kill = 0; kill < 4; kill += 1) {
      const { lines, signal } = await runWriter(directory, modulePath, { promises: 5 + kill * 9 });
      expect(signal).toBe('SIGKILL');
      promised.push(...lines);
      const chain = await openTestChain({ directory, blockTimes: { kind: 'live' }, now: Date.now });
      for (const { tip, txid } of promised) {
        if (tip) expect(chain.blockInfo(tip), tip).toBeDefined();
        if (txid) expect(await chain.findTransaction(txid), txid).toBeDefined();
      }
      const last = lines.findLast(({ tip }) => tip !== undefined);
      expect(chain.tip().height).toBeGreaterThanOrEqual(last?.height ?? Number.NaN);
      accepted(await chain.mine({ blocks: 1 }));
      await chain.close();
    }
  });
});

interface Promised {
  tip?: string;
  txid?: string;
  height?: number;
  error?: string;
  after?: object;
}

/**
 * Runs the writer until it has promised so many things, and kills it in the middle of what it does then; or until its files
 * reach a limit.
 */
async function runWriter(
  directory: string,
  modulePath: string,
  until: { promises?: number; limitKiB?: number },
): Promise<{ lines: Promised[]; code: number | null; signal: string | null }> {
  const writer = fileURLToPath(new URL('../../../test/support/chain-writer.mjs', import.meta.url));
  const limit = until.limitKiB === undefined ? 'unlimited' : String(until.limitKiB);
  const command = [process.execPath, writer, directory, modulePath];
  // bash counts this limit in KiB; exec keeps the process id, so that the kill meets the writer.
  const child = spawn('bash', ['-c', `ulimit -f ${limit}; exec "$@"`, 'writer', ...command], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const lines: Promised[] = [];
  const exited = once(child, 'exit');
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(JSON.parse(line) as Promised);
    if (lines.length === until.promises) child.kill('SIGKILL');
  }
  const [code, signal] = (await exited) as [number | null, string | null];
  return { lines, code, signal };
}

/** Compiles what the chain consists of into a folder, so that the child runs exactly what is being tested. */
function compileChain(target: string): string {
  const root = fileURLToPath(new URL('../../..', import.meta.url));
  const seen = new Set<string>();
  const compile = (file: string): void => {
    if (seen.has(file)) return;
    seen.add(file);
    const source = readFileSync(file, 'utf8');
    const { outputText } = ts.transpileModule(source, {
      compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022, verbatimModuleSyntax: true },
    });
    const output = join(target, file.slice(root.length)).replace(/\.ts$/, '.js');
    mkdirSync(dirname(output), { recursive: true });
    writeFileSync(output, outputText);
    for (const [, specifier = ''] of outputText.matchAll(/from '(\.[^']+)\.js'/g))
      compile(join(dirname(file), `${specifier}.ts`));
  };
  const entry = fileURLToPath(new URL('open-regtest-chain.ts', import.meta.url));
  compile(entry);
  writeFileSync(join(target, 'package.json'), '{ "type": "module" }');
  symlinkSync(join(root, 'node_modules'), join(target, 'node_modules'));
  return join(target, entry.slice(root.length)).replace(/\.ts$/, '.js');
}
