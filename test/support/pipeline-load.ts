import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openRegtestChain } from '../../src/bitcoin/regtest/open-regtest-chain.js';
import type { RegtestChain } from '../../src/bitcoin/regtest/regtest-chain.js';
import { JOURNEY_DESCRIPTOR } from './journey.js';
import { createLedgerClient, type Answer } from './ledger-client.js';

const FUNDS_SATS = 50_000_000n;
const PAUSE_MS = 40;
const RETRY_MS = 100;
/** Of steps: a block, a block that ends a branch of two. */
const BLOCK_EVERY = 8;
const REORG_EVERY = 40;

export interface PipelineLoad {
  /** Keys of commands that were answered with success. */
  readonly acknowledged: readonly string[];
  /** @throws what ended it */
  check(): void;
  /** Ends after the step at hand, when it is answered. */
  stop(): Promise<void>;
}

/**
 * Transfers between two accounts, deposits, blocks and reorgs, one after the other, for as long as it is not stopped. Each request is
 * repeated with the same key until there is an answer, as a careful client does.
 *
 * @param url of the ledger, asked for each time: its process may be another one by then
 */
export async function startPipelineLoad(url: () => string): Promise<PipelineLoad> {
  const directory = mkdtempSync(join(tmpdir(), 'tallystick-load-'));
  const chain = await openRegtestChain({
    directory,
    now: () => Date.now(),
    random: (bytes) => crypto.getRandomValues(new Uint8Array(bytes)),
    preminedBlocks: 103,
  });
  const acknowledged: string[] = [];
  let stopped = false;
  const isStopped = (): boolean => stopped;

  const command = async (path: string, body: unknown, key: string): Promise<Answer> => {
    const answer = await untilAnswered(() => createLedgerClient(url()).post(path, body, key));
    if (answer.status >= 300) throw new Error(`${key}: ${answer.status} ${JSON.stringify(answer.body)}`);
    acknowledged.push(key);
    return answer;
  };
  const push = async (fromHeight: number): Promise<void> => {
    for (let height = fromHeight; height <= chain.tip().height; height += 1) {
      const raw = await chain.block(chain.hashAt(height) ?? '');
      if (raw === undefined) throw new Error(`no block at ${height}`);
      const answer = await untilAnswered(() => pushBlock(url(), raw));
      if (answer.status !== 200) throw new Error(`block ${height}: ${answer.status} ${JSON.stringify(answer.body)}`);
    }
  };

  try {
    await command('/v1/accounts', { accountId: 'alice' }, 'alice');
    await command('/v1/accounts', { accountId: 'bob' }, 'bob');
    await command('/v1/wallets', { walletId: 'hot', descriptor: JOURNEY_DESCRIPTOR }, 'wallet');
    const { body } = await command('/v1/wallets/hot/addresses', { accountId: 'alice' }, 'address');
    const address = String(body['address']);
    done(await chain.pay({ address, amountSats: FUNDS_SATS }));
    done(await chain.mine({ blocks: 1 }));
    await push(1);
    let failure: Error | undefined;
    const running = run(address).catch((error: unknown) => {
      failure = new Error('the load ended', { cause: error });
    });
    const check = (): void => {
      if (failure !== undefined) throw failure;
    };
    return {
      acknowledged,
      check,
      stop: async () => {
        stopped = true;
        await running;
        check();
      },
    };
  } catch (error) {
    await end();
    throw error;
  }

  async function run(address: string): Promise<void> {
    try {
      for (let step = 1; !isStopped(); step += 1) {
        const [from, to] = step % 5 === 0 ? ['bob', 'alice'] : ['alice', 'bob'];
        const transfer = { fromAccountId: from, toAccountId: to, amountSats: step % 5 === 0 ? '2' : '1' };
        await command('/v1/transfers', transfer, `transfer-${step}`);
        if (step % BLOCK_EVERY === 0) await block(address, step % REORG_EVERY === 0);
        await pause(PAUSE_MS);
      }
    } finally {
      await end();
    }
  }

  async function block(address: string, isReorg: boolean): Promise<void> {
    done(await chain.pay({ address, amountSats: 1_000n }));
    done(isReorg ? await chain.reorg({ depth: 2, blocks: 3 }) : await chain.mine({ blocks: 1 }));
    await push(chain.tip().height - (isReorg ? 2 : 0));
  }

  async function end(): Promise<void> {
    await chain.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

function done(result: Awaited<ReturnType<RegtestChain['mine' | 'pay' | 'reorg']>>): void {
  if ('rejected' in result) throw new Error(`the chain refused: ${JSON.stringify(result)}`);
}

async function pushBlock(url: string, raw: Uint8Array): Promise<Answer> {
  const response = await fetch(`${url}/v1/chain/blocks`, {
    method: 'POST',
    headers: { 'content-type': 'text/plain' },
    body: Buffer.from(raw).toString('hex'),
  });
  const body = (await response.json()) as Record<string, unknown>;
  return { status: response.status, body, headers: response.headers };
}

/** Repeats until there is an answer that is not "try again". Whoever broke something mends it. */
async function untilAnswered(attempt: () => Promise<Answer>): Promise<Answer> {
  for (;;) {
    const answer = await attempt().catch(() => undefined);
    const again = answer === undefined || answer.status === 503 || answer.body['code'] === 'idempotency-key-in-use';
    if (!again) return answer;
    await pause(RETRY_MS);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
