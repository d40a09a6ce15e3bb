import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openProcess } from '../src/app/open-process.js';
import { readConfig } from '../src/platform/config.js';
import { createLogger } from '../src/platform/logger.js';
import { startTemporaryPostgres } from '../test/support/postgres-server.js';
import type { BenchRow } from './bench-row.js';

const RATE_PER_SECOND = 200;
const ACCOUNTS = 20;
const GOAL_P50_MS = 2;
const GOAL_P99_MS = 10;

interface Percentiles {
  p50: number;
  p99: number;
  max: number;
}

/**
 * From the acknowledgement of a command to the answer of a GraphQL query that includes it, at 200 commands a second: the whole
 * ledger in one process, PostgreSQL with its default durability, the client in another process. The time includes the query itself,
 * which is measured alone beside it.
 */
export async function runVisibleBench({ quick }: { quick: boolean }): Promise<BenchRow[]> {
  const postgres = await startTemporaryPostgres([]);
  const dataDir = mkdtempSync(join(tmpdir(), 'tallystick-bench-'));
  try {
    const config = readConfig({ PORT: '0', DATABASE_URL: postgres.url, DATA_DIR: dataDir, LOG_LEVEL: 'silent' });
    const ledger = await openProcess(config, {
      logger: createLogger('silent'),
      onFatal: (error) => {
        throw error;
      },
    });
    try {
      await fund(ledger.url);
      await runClient(ledger.url, RATE_PER_SECOND * 3);
      return rows(await runClient(ledger.url, RATE_PER_SECOND * (quick ? 10 : 60)));
    } finally {
      await ledger.close();
    }
  } finally {
    await postgres.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

function rows({ visible, plain }: { visible: Percentiles; plain: Percentiles }): BenchRow[] {
  const row = (name: 'p50' | 'p99', goalMs: number): BenchRow => ({
    bench: 'visible',
    measure: `acknowledged → in a GraphQL answer, ${name}, at ${RATE_PER_SECOND} commands/s`,
    value: `${visible[name].toFixed(2)} ms`,
    reference: `${plain[name].toFixed(2)} ms the same query alone`,
    ratio: visible[name],
    goal: `≤ ${goalMs} ms`,
    met: visible[name] <= goalMs,
  });
  return [row('p50', GOAL_P50_MS), row('p99', GOAL_P99_MS)];
}

async function post(url: string, path: string, body: object, key?: string): Promise<Record<string, unknown>> {
  const response = await fetch(url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(key === undefined ? {} : { 'idempotency-key': key }) },
    body: JSON.stringify(body),
  });
  const answer = (await response.json()) as Record<string, unknown>;
  if (!response.ok) throw new Error(`${path} answered ${response.status}: ${JSON.stringify(answer)}`);
  return answer;
}

/** Accounts with money that came over the built-in chain. */
async function fund(url: string): Promise<void> {
  await post(url, '/v1/wallets', { walletId: 'hot', signer: 'local' }, 'wallet');
  for (let n = 0; n < ACCOUNTS; n += 1) {
    await post(url, '/v1/accounts', { accountId: `account-${n}` }, `open-${n}`);
    const { address } = await post(url, '/v1/wallets/hot/addresses', { accountId: `account-${n}` }, `address-${n}`);
    await post(url, '/dev/chain/pay', { address, amountSats: '1000000' });
  }
  await post(url, '/dev/chain/mine', { blocks: 1 });
}

async function runClient(url: string, count: number): Promise<{ visible: Percentiles; plain: Percentiles }> {
  const program = fileURLToPath(new URL('./visible-client.js', import.meta.url));
  const args = [program, new URL(url).port, String(RATE_PER_SECOND), String(count)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (data: Buffer) => (output += data.toString()));
  const code = await new Promise((resolve, reject) => {
    child.on('close', resolve);
    child.on('error', reject);
  });
  if (code !== 0) throw new Error(`the client ended with ${String(code)}`);
  return JSON.parse(output) as { visible: Percentiles; plain: Percentiles };
}
