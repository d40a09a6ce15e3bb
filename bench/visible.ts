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
import { fundAccounts } from './fund-accounts.js';

const RATE_PER_SECOND = 200;
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
      await fundAccounts(ledger.url);
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
