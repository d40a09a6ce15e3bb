import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type pg from 'pg';
import type { Stack } from '../../scripts/stack/stack.mjs';
import { createPool } from '../../src/platform/postgres/pool.js';
import { startLedgerProcess, type LedgerProcess } from '../../test/support/ledger-process.js';

/** Where the script that runs the benches stands. */
const ROOT = process.cwd();
const WAIT_MS = 300_000;

/** PostgreSQL, a broker, and Connect with the connector, as `npm run stack` starts them, in a folder of their own. */
export interface Pipeline {
  stack: Stack;
  pool: pg.Pool;
  brokers: string;
  topic: string;
  /** Of a ledger process in this pipeline. */
  environment: Record<string, string>;
  /** A process of ours with its roles; it ends with the pipeline. */
  start: (environment: Record<string, string>) => Promise<LedgerProcess>;
  close(): Promise<void>;
}

/** @throws StackError where Java, or what else it needs, is not there: it says what and how to get it */
export async function openPipeline(): Promise<Pipeline> {
  const { openStack } = (await import(pathToFileURL(join(ROOT, 'scripts/stack/stack.mjs')).href)) as {
    openStack: (options: object) => Stack;
  };
  const dir = mkdtempSync(join(tmpdir(), 'tallystick-bench-stack-'));
  const stack = openStack({ dir, services: ['postgres', 'kafka', 'connect'] });
  const processes: LedgerProcess[] = [];
  let pool: pg.Pool | undefined;
  async function close(): Promise<void> {
    await Promise.all(processes.map((each) => each.kill()));
    await pool?.end();
    await stack.down();
    rmSync(dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }
  try {
    await stack.up();
    const environment = { ...stack.env(), DATA_DIR: join(dir, 'data'), LOG_LEVEL: 'error' };
    pool = createPool(environment['DATABASE_URL' as keyof typeof environment], { max: 12 });
    return {
      stack,
      pool,
      brokers: stack.env()['KAFKA_BROKERS'] ?? '',
      topic: stack.env()['KAFKA_TOPIC'] ?? '',
      environment,
      start: async (own) => {
        const started = await startLedgerProcess({ ...environment, ...own });
        processes.push(started);
        return started;
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Until all read models of ledgers have reached a position. */
export async function untilProjected(pool: pg.Pool, ledgers: readonly string[], position: bigint): Promise<void> {
  for (const deadline = Date.now() + WAIT_MS; ;) {
    const { rows } = await pool.query<{ behind: bigint }>(
      `SELECT count(*) AS behind FROM unnest($1::text[]) AS l(ledger)
       WHERE coalesce((SELECT min(position) FROM projection_checkpoint c WHERE c.ledger = l.ledger), -1) < $2`,
      [ledgers, position],
    );
    if (rows[0]?.behind === 0n) return;
    if (Date.now() > deadline) throw new Error(`the read models of ${ledgers.join(', ')} do not reach ${position}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A counter of a process, summed over its labels. */
export async function readCounter(url: string, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return text
    .split('\n')
    .filter((line) => line.startsWith(`tallystick_${name}{`) || line.startsWith(`tallystick_${name} `))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

/** Until a projector has partitions: before that it reads the outbox. */
export async function untilFromKafka(url: string): Promise<void> {
  while ((await readCounter(url, 'kafka_partitions_assigned')) === 0) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
