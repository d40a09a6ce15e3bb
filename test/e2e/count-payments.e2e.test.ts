import { spawn } from 'node:child_process';
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openRegtestChain } from '../../src/bitcoin/regtest/open-regtest-chain.js';
import type { RegtestChain } from '../../src/bitcoin/regtest/regtest-chain.js';
import { createTestWallet } from '../support/regtest-wallet.js';

const SCRIPT = join(import.meta.dirname, '..', '..', 'examples', 'count-payments.mjs');
const wallet = createTestWallet(95);
const [once, twice, dropped] = [
  wallet.addressOf('p2wpkh', 1),
  wallet.addressOf('p2tr', 2),
  wallet.addressOf('p2pkh', 3),
] as const;

let directory: string;
let file: string;
let chain: RegtestChain;
let node: Server;
let nodeUrl: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'tallystick-count-'));
  file = join(directory, 'blk00000.dat');
  chain = await openRegtestChain({ directory, now: Date.now, random: (count) => Buffer.alloc(count, 1) });
  const pay = async (address: string, amountSats: bigint): Promise<void> => {
    expect(await chain.pay({ address, amountSats })).toHaveProperty('txid');
  };
  await pay(once, 10_000n);
  await pay(twice, 7_000n);
  await chain.mine({ blocks: 1 });
  await pay(twice, 7_000n);
  await chain.mine({ blocks: 1 });
  await pay(dropped, 5_000n);
  await chain.mine({ blocks: 1 });
  await chain.reorg({ depth: 1, blocks: 2, dropTransactions: true });
  // What a crash leaves at the end of the file.
  appendFileSync(file, Buffer.from('fabfb5da10000000aa', 'hex'));
  node = createServer((request, response) => {
    void text(request).then(async (body) => {
      const { method, params } = JSON.parse(body) as { method: string; params: [number & string] };
      const result =
        method === 'getblockcount'
          ? chain.tip().height
          : method === 'getblockhash'
            ? chain.hashAt(params[0])
            : Buffer.from((await chain.block(params[0])) ?? []).toString('hex');
      response.end(JSON.stringify({ result, error: null }));
    });
  });
  await new Promise<void>((resolve) => node.listen(0, '127.0.0.1', resolve));
  nodeUrl = `http://user:pass%20word@127.0.0.1:${(node.address() as AddressInfo).port}/`;
});

afterAll(async () => {
  await new Promise((resolve) => node.close(resolve));
  await chain.close();
  rmSync(directory, { recursive: true, force: true });
});

interface Counted {
  code: number | null;
  output: string;
}

async function count(
  asked: readonly string[],
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Counted> {
  const child = spawn(process.execPath, [SCRIPT, ...args], { env: { ...process.env, ...env } });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stdin.end(asked.join('\n'));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, output };
}

describe('the example that counts payments on the chain', () => {
  const ways: [string, (asked: readonly string[], env?: Record<string, string>) => Promise<Counted>][] = [
    ['from block files', (asked, env) => count(asked, [file], env)],
    ['from a node', (asked, env) => count(asked, [], { BITCOIN_RPC_URL: nodeUrl, ...env })],
  ];

  describe.each(ways)('%s', (_from, counted) => {
    it('is content where each got what was asked, and nothing that only a branch without the most work holds', async () => {
      const { code, output } = await counted([`${once},10000`, `${twice},7000`, '', `${twice},7000`, `${dropped},0`]);
      expect(output).toContain('3 addresses, 24000 sats arrived');
      expect(output).toContain(`height ${chain.tip().height}, ${chain.tip().hash}: each got what was asked, once`);
      expect(code).toBe(0);
    });

    it('tells what was paid twice, what is not there, and what was another amount', async () => {
      const { code, output } = await counted([`${once},10001`, `${twice},7000`, `${dropped},5000`]);
      expect(output).toMatch(
        new RegExp(`${once}: not there: 10001 sats\n${once}: not asked for: 10000 sats in [0-9a-f]{64}`),
      );
      expect(output).toMatch(new RegExp(`${twice}: not asked for: 7000 sats in [0-9a-f]{64}, height `));
      expect(output).toContain(`${dropped}: not there: 5000 sats`);
      expect(output).toContain('3 differ');
      expect(code).toBe(1);
    });

    it('counts from a height on, and only what is deep enough', async () => {
      const first = chain.tip().height - 3;
      expect(await counted([`${once},0`, `${twice},7000`], { FROM_HEIGHT: String(first + 1) })).toMatchObject({
        code: 0,
      });
      expect(await counted([`${once},10000`, `${twice},7000`], { CONFIRMATIONS: '4' })).toMatchObject({ code: 0 });
    });
  });

  it.each<[string, string[], string[], Record<string, string>, RegExp]>([
    ['an address of another network', ['bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4,1'], ['f'], {}, /prefix|Script/],
    ['a line that is none', [`${once};1`], ['f'], {}, /line 1: not address,amountSats/],
    ['no source of blocks', [`${once},1`], [], {}, /give BITCOIN_RPC_URL, or block files/],
    ['a file that is not there', [`${once},1`], ['not-there.dat'], {}, /ENOENT/],
    ['blocks of another network', [], ['f'], { BITCOIN_NETWORK: 'signet' }, /is no block of signet/],
    ['a node that is not there', [], [], { BITCOIN_RPC_URL: 'http://u:p@127.0.0.1:1/' }, /fetch failed/],
  ])('says that it cannot count: %s', async (_what, asked, args, env, why) => {
    const { code, output } = await count(
      asked,
      args.map((name) => (name === 'f' ? file : name)),
      env,
    );
    expect(output).toMatch(why);
    expect(code).toBe(2);
  });
});
