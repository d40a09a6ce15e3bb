import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import type { DomainEvent } from '../src/domain/events/event-types.js';
import { newEvents } from '../src/domain/new-event.js';
import type { EventStore } from '../src/eventstore/event-store.js';
import { migrate } from '../src/platform/postgres/migrate.js';
import { appRole, createPool } from '../src/platform/postgres/pool.js';
import { deposit, startCommandServer, type CommandServer } from '../test/support/command-server.js';
import { startTemporaryPostgres } from '../test/support/postgres-server.js';
import type { BenchRow } from './bench-row.js';

const CLIENTS = 200;
export const ACCOUNTS = 10_000;
/** Enough for every transfer that an account sends here. */
const FUNDS_SATS = 1_000_000n;
const GOAL = 0.3;
const CATCH_UP_POLL_MS = 20;

export interface Measured {
  seconds: number;
  latenciesMs: { p50: number; p99: number; max: number };
  statuses: Record<string, number>;
}

/**
 * Transfers over HTTP from another process, 200 clients over 10,000 accounts, each waiting for its answer: parsing, validation,
 * the look-up of funds in the read models, the decision, the durable append. The read models follow in the same process, as
 * they do in a ledger that runs as one. Against appends of the same events through the port of the store, in the same run.
 */
export async function runHttpBench({ quick }: { quick: boolean }): Promise<BenchRow[]> {
  const postgres = await startTemporaryPostgres([]);
  try {
    await migrate(postgres.url);
    const owner = createPool(postgres.url, { max: 1 });
    const pool = createPool(postgres.url, { max: 20, role: await appRole(owner) });
    const server = await startCommandServer({ database: { pool } });
    try {
      return await measure(server, quick);
    } finally {
      await server.close();
      await pool.end();
      await owner.end();
    }
  } finally {
    await postgres.stop();
  }
}

async function measure(server: CommandServer, quick: boolean): Promise<BenchRow[]> {
  const transfers = quick ? 4_000 : 20_000;
  const rounds = quick ? 3 : 5;
  await openAccounts(server.store);
  await runTransfers(server, transfers);
  const http: Measured[] = [];
  const appends: number[] = [];
  for (let round = 0; round < rounds; round++) {
    // What follows from the appends of the round before must not fall on this one.
    await caughtUp(server.database.pool);
    http.push(await runTransfers(server, transfers));
    appends.push(await appendsPerSecond(server.store, transfers, round));
  }
  const perSecond = http.map(({ seconds }) => transfers / seconds);
  const ratio = median(perSecond.map((value, round) => value / (appends[round] ?? NaN)));
  const p50 = median(http.map(({ latenciesMs }) => latenciesMs.p50));
  const p99 = median(http.map(({ latenciesMs }) => latenciesMs.p99));
  return [
    {
      bench: 'http',
      measure: 'durable transfers/s over HTTP, 200 clients, 10,000 accounts',
      value: `${thousands(median(perSecond))}/s`,
      reference: `${thousands(median(appends))}/s appends of the same events`,
      ratio,
      goal: `≥ ${GOAL}`,
      met: ratio >= GOAL,
      note: `p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms; median of ${rounds} interleaved rounds of ${transfers}; clients in another process, read models following`,
    },
  ];
}

export async function openAccounts(store: EventStore): Promise<void> {
  const ids = Array.from({ length: ACCOUNTS }, (_, n) => `account-${n}`);
  for (let from = 0; from < ACCOUNTS; from += 500) {
    const some = ids.slice(from, from + 500);
    await Promise.all(
      some.map((accountId) =>
        append(store, `account-${accountId}`, 'no-stream', {
          type: 'AccountOpened',
          data: { accountId, metadata: {} },
        }),
      ),
    );
    await deposit(store, 'main', Object.fromEntries(some.map((accountId) => [accountId, FUNDS_SATS])));
  }
}

async function append(
  store: EventStore,
  stream: string,
  expectedRevision: bigint | 'no-stream',
  event: DomainEvent,
): Promise<void> {
  const key = randomUUID();
  const result = await store.append({
    stream,
    expectedRevision,
    events: newEvents([event], { ledger: 'main', key, metadata: { actor: 'anonymous', idempotencyKey: key } }),
    idempotency: { key, requestHash: 'ab'.repeat(32), outcome: { status: 201, body: event.data } },
  });
  if (result.kind !== 'appended') throw new Error(`append was refused: ${result.kind}`);
}

/** Requests from clients in a process of their own, all of which must be answered with this status. */
export async function runClients(
  url: string,
  { requests, question, status }: { requests: number; question: 'transfers' | 'withdrawals'; status: string },
): Promise<Measured> {
  const program = fileURLToPath(new URL('./http-client.js', import.meta.url));
  const args = [program, new URL(url).port, String(CLIENTS), String(ACCOUNTS), String(requests), question];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (data: Buffer) => (output += data.toString()));
  const code = await new Promise((resolve, reject) => {
    child.on('close', resolve);
    child.on('error', reject);
  });
  if (code !== 0) throw new Error(`the clients ended with ${String(code)}`);
  const measured = JSON.parse(output) as Measured;
  if (measured.statuses[status] !== requests) {
    throw new Error(`not all were done: ${JSON.stringify(measured.statuses)}`);
  }
  return measured;
}

/** Waits until the read models have followed all that there is. */
export async function caughtUp(pool: pg.Pool): Promise<void> {
  for (;;) {
    const { rows } = await pool.query<{ behind: boolean }>(
      `SELECT h.position > (SELECT min(c.position) FROM projection_checkpoint c WHERE c.ledger = h.ledger) AS behind
       FROM ledger_head h WHERE h.ledger = 'main'`,
    );
    if (rows[0]?.behind === false) return;
    await sleep(CATCH_UP_POLL_MS);
  }
}

function runTransfers(server: CommandServer, requests: number): Promise<Measured> {
  return runClients(server.url, { requests, question: 'transfers', status: '201' });
}

/** The same number of clients and of streams, one append at a time each. */
async function appendsPerSecond(store: EventStore, appends: number, round: number): Promise<number> {
  let next = 0;
  const started = performance.now();
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      for (let n = next++; n < appends; n = next++) {
        const from = `bench-${round}-${n % ACCOUNTS}`;
        const transfer = transferEvent(from, randomUUID());
        const revision = BigInt(Math.floor(n / ACCOUNTS)) - 1n;
        await append(store, `account-${from}`, revision < 0n ? 'no-stream' : revision, transfer);
      }
    }),
  );
  return appends / ((performance.now() - started) / 1_000);
}

function transferEvent(fromAccountId: string, transferId: string): DomainEvent {
  return {
    type: 'TransferSent',
    data: {
      transferId,
      fromAccountId,
      toAccountId: 'account-0',
      amountSats: '1',
      postings: [
        { book: `account:${fromAccountId}`, amountSats: '1' },
        { book: 'account:account-0', amountSats: '-1' },
      ],
    },
  };
}

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

export function thousands(value: number): string {
  return Math.round(value).toLocaleString('en');
}
