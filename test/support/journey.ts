import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openRegtestChain } from '../../src/bitcoin/regtest/open-regtest-chain.js';
import type { RegtestChain } from '../../src/bitcoin/regtest/regtest-chain.js';
import { createLedgerClient, type Answer } from './ledger-client.js';

const ANSWER_DEADLINE_MS = 90_000;
const RETRY_PAUSE_MS = 50;
/** 2020-01-01: the same blocks in every run. */
const CHAIN_START_SECONDS = 1_577_836_800;
/** The account-level key of BIP84's test vector, as a public key for test networks (BIP84, first account of "abandon … about"). */
export const JOURNEY_DESCRIPTOR =
  'wpkh(tpubDC8msFGeGuwnKG9Upg7DM2b4DaRqg3CUZa5g8v2SRQ6K4NSkxUgd7HsL2XVWbVm39yBA4LAxysQAm397zwQSQoQgewGiYZqrA9DsP4zbQ1M/<0;1>/*)';

/**
 * A small history with every kind of write, the same in every run: accounts, a wallet, addresses, deposits, transfers, a
 * refused transfer, a reorg that keeps deposits and one that drops them, and back to the older branch. Blocks come from a
 * chain in this process and are pushed. Each step is repeated, with the same key, until it is answered, so the ledger may
 * be killed and started again at any moment.
 */
export async function runJourney(urlNow: () => string): Promise<JourneyResult> {
  const directory = mkdtempSync(join(tmpdir(), 'tallystick-journey-'));
  const chain = await openRegtestChain({
    directory,
    // After every block of the journey: blocks from the future are refused.
    now: () => (CHAIN_START_SECONDS + 1_000_000) * 1000,
    random: (bytes) => new Uint8Array(bytes).fill(7),
    blockTimes: { kind: 'fixed', startSeconds: CHAIN_START_SECONDS, stepSeconds: 600 },
    preminedBlocks: 103,
  });
  try {
    return await walk(urlNow, chain);
  } finally {
    await chain.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

export interface JourneyResult {
  /** Every answer that said that something is done, in the order of the steps: step, status, position. */
  acknowledged: { step: string; status: number; position: string }[];
}

async function walk(urlNow: () => string, chain: RegtestChain): Promise<JourneyResult> {
  const acknowledged: JourneyResult['acknowledged'] = [];
  const command = async (path: string, body: unknown, step: string, status = 201): Promise<Answer> => {
    const answer = await insist(() => createLedgerClient(urlNow()).post(path, body, step));
    if (answer.status !== status) throw new Error(`${step}: ${answer.status} ${JSON.stringify(answer.body)}`);
    acknowledged.push({ step, status, position: JSON.stringify(answer.body['position'] ?? null) });
    return answer;
  };
  let pushed = 0;
  /** Pushes the best chain from `fromHeight` to its tip. */
  const push = async (fromHeight: number): Promise<void> => {
    for (let height = fromHeight; height <= chain.tip().height; height += 1) {
      const raw = await chain.block(chain.hashAt(height) ?? '');
      if (raw === undefined) throw new Error(`no block at ${height}`);
      const answer = await insist(() => pushBlock(urlNow(), raw));
      if (answer.status !== 200) throw new Error(`block ${height}: ${answer.status} ${JSON.stringify(answer.body)}`);
      // Whether a repeated push finds the block connected or connects it depends on when the kill came.
      pushed += 1;
    }
  };
  const pay = async (address: unknown, amountSats: bigint): Promise<void> => {
    done(await chain.pay({ address: String(address), amountSats }));
  };

  await command('/v1/accounts', { accountId: 'alice', metadata: { since: '2026' } }, 'open-alice');
  await command('/v1/accounts', { accountId: 'bob' }, 'open-bob');
  await command('/v1/accounts', { accountId: 'bob' }, 'open-bob-again', 409);
  await command('/v1/wallets', { walletId: 'hot', descriptor: JOURNEY_DESCRIPTOR }, 'create-wallet');
  const alice = await command('/v1/wallets/hot/addresses', { accountId: 'alice' }, 'address-alice');
  const bob = await command('/v1/wallets/hot/addresses', { accountId: 'bob' }, 'address-bob');
  await push(1);

  await pay(alice.body['address'], 100_000n);
  done(await chain.mine({ blocks: 1 }));
  await push(chain.tip().height);
  await command('/v1/transfers', { fromAccountId: 'alice', toAccountId: 'bob', amountSats: '30000' }, 'transfer-1');
  await command('/v1/transfers', { fromAccountId: 'bob', toAccountId: 'alice', amountSats: '30001' }, 'too-much', 422);

  await pay(bob.body['address'], 50_000n);
  done(await chain.mine({ blocks: 2 }));
  await push(chain.tip().height - 1);
  done(await chain.reorg({ depth: 2, blocks: 3 }));
  await push(chain.tip().height - 2);
  await command('/v1/transfers', { fromAccountId: 'bob', toAccountId: 'alice', amountSats: '80000' }, 'transfer-2');
  done(await chain.reorg({ depth: 3, blocks: 4, dropTransactions: true }));
  await push(chain.tip().height - 3);
  await command('/v1/transfers', { fromAccountId: 'alice', toAccountId: 'bob', amountSats: '1' }, 'transfer-3');
  if (pushed < 100) throw new Error('the journey did not push its blocks');
  return { acknowledged };
}

function done(result: object): void {
  if ('rejected' in result) throw new Error(`the chain refused: ${JSON.stringify(result)}`);
}

async function pushBlock(url: string, raw: Uint8Array): Promise<Answer> {
  const response = await fetch(`${url}/v1/chain/blocks`, {
    method: 'POST',
    headers: { 'content-type': 'text/plain' },
    body: Buffer.from(raw).toString('hex'),
  });
  return {
    status: response.status,
    body: (await response.json()) as Record<string, unknown>,
    headers: response.headers,
  };
}

/** Repeats until there is an answer that is not "try again". */
export async function insist(attempt: () => Promise<Answer>): Promise<Answer> {
  const deadline = Date.now() + ANSWER_DEADLINE_MS;
  for (;;) {
    try {
      const answer = await attempt();
      const again = answer.status === 503 || answer.body['code'] === 'idempotency-key-in-use';
      if (!again || Date.now() > deadline) return answer;
    } catch (error) {
      // The process is down at the moment; whoever killed it starts it again.
      if (Date.now() > deadline) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_PAUSE_MS));
  }
}
