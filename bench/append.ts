import { createHash, randomUUID } from 'node:crypto';
import type pg from 'pg';
import {
  byteaArray,
  int4Array,
  int8Array,
  jsonArray,
  jsonbArray,
  textArray,
  uuidArray,
} from '../src/platform/postgres/binary-array.js';
import type { EventStore, ExpectedRevision, NewEvent } from '../src/eventstore/event-store.js';
import { createPostgresEventStore } from '../src/eventstore/postgres-event-store.js';
import { migrate } from '../src/platform/postgres/migrate.js';
import { appRole, createPool } from '../src/platform/postgres/pool.js';
import { startTemporaryPostgres } from '../test/support/postgres-server.js';
import type { BenchRow } from './bench-row.js';

const CLIENTS = 200;
const ACCOUNTS = 10_000;
const ACCOUNTS_PER_CLIENT = ACCOUNTS / CLIENTS;

interface Command {
  account: number;
  event: NewEvent;
  key: string;
  requestHash: string;
  outcome: unknown;
}

/**
 * Durable appends through the port: 200 clients, each waiting for its acknowledgement before its next command, over 10,000 accounts.
 * Against plain multi-row INSERTs of the same rows (event and outcome) into the same tables without their triggers, in batches of
 * the size that group commit reached, one statement and one commit per batch, sent in the fastest form that was found (binary arrays
 * through unnest). And the same clients all on one account, each building on the one before, against themselves.
 */
export async function runAppendBench({ quick }: { quick: boolean }): Promise<BenchRow[]> {
  // fsync stays on: durable means durable.
  const server = await startTemporaryPostgres([]);
  try {
    await migrate(server.url);
    const owner = createPool(server.url, { max: 1 });
    const pool = createPool(server.url, { max: 4, role: await appRole(owner) });
    try {
      return await measure(pool, owner, quick);
    } finally {
      await pool.end();
      await owner.end();
    }
  } finally {
    await server.stop();
  }
}

async function measure(pool: pg.Pool, owner: pg.Pool, quick: boolean): Promise<BenchRow[]> {
  const appends = quick ? 5_000 : 20_000;
  const rounds = quick ? 3 : 7;
  await owner.query('CREATE TABLE plain_outbox (LIKE outbox INCLUDING ALL)');
  await owner.query('CREATE TABLE plain_outcome (LIKE command_outcome INCLUDING ALL)');

  let batches = 0;
  let batched = 0;
  const store = createPostgresEventStore({
    pool,
    ledger: 'main',
    onCommitted: (batch) => {
      batches += 1;
      batched += batch.appends;
    },
  });
  await openAccounts(store);
  const accounts = createAccounts();
  const plain = createPlain(owner, 'plain_outbox', 'plain_outcome');
  const guarded = createPlain(owner, 'outbox', 'command_outcome');
  await runClients(accounts, store, appends / 4);
  await plain(appends / 4, CLIENTS);
  await guarded(appends / 4, CLIENTS);

  const perSecond: PerSecond = { store: [], plain: [], guarded: [], hot: [] };
  const sizes: number[] = [];
  const hot = await createHotAccount(store);
  for (let round = 0; round < rounds; round++) {
    batches = batched = 0;
    perSecond.store.push(await timed(appends, () => runClients(accounts, store, appends)));
    const size = Math.max(1, Math.round(batched / batches));
    sizes.push(size);
    perSecond.plain.push(await timed(appends, () => plain(appends, size)));
    perSecond.guarded.push(await timed(appends, () => guarded(appends, size)));
    perSecond.hot.push(await timed(appends, () => runClients(hot, store, appends)));
  }
  await store.close();
  return rowsOf(perSecond, median(sizes), rounds, appends);
}

interface PerSecond {
  store: number[];
  plain: number[];
  /** Plain INSERTs into the real tables: what the triggers cost. */
  guarded: number[];
  hot: number[];
}

function rowsOf(perSecond: PerSecond, batchSize: number, rounds: number, appends: number): BenchRow[] {
  const note = `median of ${rounds} interleaved rounds of ${appends}; ${batchSize} appends per commit; fsync on`;
  // Each round's ratio is of neighbours in time: what else the machine does falls on both.
  const ratio = median(perSecond.store.map((value, round) => value / (perSecond.plain[round] ?? NaN)));
  const guardedRatio = median(perSecond.store.map((value, round) => value / (perSecond.guarded[round] ?? NaN)));
  const hotRatio = median(perSecond.hot.map((value, round) => value / (perSecond.store[round] ?? NaN)));
  return [
    {
      bench: 'append',
      measure: 'durable appends/s, 200 clients, 10,000 accounts',
      value: `${thousands(median(perSecond.store))}/s`,
      reference: `${thousands(median(perSecond.plain))}/s plain multi-row INSERT`,
      ratio,
      goal: '≥ 0.8',
      met: ratio >= 0.8,
      note: `${note}; against plain INSERTs with the triggers on: ${guardedRatio.toFixed(2)}`,
    },
    {
      bench: 'hot',
      measure: 'the same 200 clients, one account',
      value: `${thousands(median(perSecond.hot))}/s`,
      reference: `${thousands(median(perSecond.store))}/s over 10,000 accounts`,
      ratio: hotRatio,
      goal: '≥ 0.9',
      met: hotRatio >= 0.9,
      note,
    },
  ];
}

type NextAppend = (client: number) => { account: number; expectedRevision: ExpectedRevision };

async function openAccounts(store: EventStore): Promise<void> {
  await Promise.all(
    Array.from({ length: ACCOUNTS }, (_, account) =>
      store.append({
        stream: streamOf(account),
        expectedRevision: 'no-stream',
        events: [
          {
            id: randomUUID(),
            type: 'AccountOpened',
            schemaVersion: 1,
            data: { accountId: idOf(account) },
            metadata: {},
          },
        ],
      }),
    ),
  );
}

/** Every client has accounts of its own and goes round them, as one that waits for its answer would. */
function createAccounts(): NextAppend {
  const revisions = new Array<bigint>(ACCOUNTS).fill(0n);
  const turns = new Array<number>(CLIENTS).fill(0);
  return (client) => {
    const turn = turns[client] ?? 0;
    turns[client] = turn + 1;
    const account = client * ACCOUNTS_PER_CLIENT + (turn % ACCOUNTS_PER_CLIENT);
    const expectedRevision = revisions[account] ?? 0n;
    revisions[account] = expectedRevision + 1n;
    return { account, expectedRevision };
  };
}

/** One account for all: each append builds on the one before, committed or not. */
async function createHotAccount(store: EventStore): Promise<NextAppend> {
  const account = ACCOUNTS;
  let revision = 0n;
  await store.append({
    stream: streamOf(account),
    expectedRevision: 'no-stream',
    events: [{ id: randomUUID(), type: 'AccountOpened', schemaVersion: 1, data: {}, metadata: {} }],
  });
  return () => ({ account, expectedRevision: revision++ });
}

async function runClients(next: NextAppend, store: EventStore, appends: number): Promise<void> {
  let left = appends;
  await Promise.all(
    Array.from({ length: CLIENTS }, async (_, client) => {
      while (left-- > 0) {
        const { account, expectedRevision } = next(client);
        const { event, key, requestHash, outcome } = newCommand(account);
        const result = await store.append({
          stream: streamOf(account),
          expectedRevision,
          events: [event],
          idempotency: { key, requestHash, outcome },
        });
        if (result.kind !== 'appended') throw new Error(`append was refused: ${result.kind}`);
      }
    }),
  );
}

const plainSql = (outbox: string, outcome: string): string => `WITH events AS (
    INSERT INTO ${outbox} (ledger, position, id, stream, revision, type, schema_version, data, metadata, recorded_at)
    SELECT 'plain', position, id, stream, revision, type, version, data, metadata, now()
    FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::int[], $7::jsonb[], $8::jsonb[])
      AS e(position, id, stream, revision, type, version, data, metadata))
  INSERT INTO ${outcome} (ledger, key, request_hash, outcome, position, recorded_at)
  SELECT 'plain', key, hash, outcome, position, now()
  FROM unnest($9::text[], $10::bytea[], $11::json[], $1::bigint[]) AS o(key, hash, outcome, position)`;

function createPlain(
  pool: pg.Pool,
  outbox: string,
  outcome: string,
): (appends: number, batchSize: number) => Promise<void> {
  const text = plainSql(outbox, outcome);
  const revisions = new Array<bigint>(ACCOUNTS).fill(-1n);
  let position = 0n;
  let account = 0;
  return async (appends, batchSize) => {
    for (let done = 0; done < appends; done += batchSize) {
      const commands = Array.from({ length: Math.min(batchSize, appends - done) }, () => {
        account = (account + 1) % ACCOUNTS;
        return newCommand(account);
      });
      await pool.query({
        name: outbox,
        text,
        values: [
          int8Array(commands.map(() => ++position)),
          uuidArray(commands.map(({ event }) => event.id)),
          textArray(commands.map((command) => streamOf(command.account))),
          int8Array(commands.map((command) => (revisions[command.account] = (revisions[command.account] ?? -1n) + 1n))),
          textArray(commands.map(({ event }) => event.type)),
          int4Array(commands.map(({ event }) => event.schemaVersion)),
          jsonbArray(commands.map(({ event }) => JSON.stringify(event.data))),
          jsonbArray(commands.map(({ event }) => JSON.stringify(event.metadata))),
          textArray(commands.map(({ key }) => key)),
          byteaArray(commands.map(({ requestHash }) => requestHash)),
          jsonArray(commands.map(({ outcome }) => JSON.stringify(outcome))),
        ],
      });
    }
  };
}

function newCommand(account: number): Command {
  const key = randomUUID();
  const from = idOf(account);
  const to = idOf((account * 7 + 1) % ACCOUNTS);
  const amountSats = '150000';
  return {
    account,
    key,
    requestHash: createHash('sha256').update(key).digest('hex'),
    outcome: { status: 201, body: { transferId: key } },
    event: {
      id: randomUUID(),
      type: 'TransferSent',
      schemaVersion: 1,
      data: {
        transferId: key,
        fromAccountId: from,
        toAccountId: to,
        amountSats,
        postings: [
          { book: `account:${from}`, amountSats },
          { book: `account:${to}`, amountSats: `-${amountSats}` },
        ],
      },
      metadata: { correlationId: key, idempotencyKey: key, actor: 'bench' },
    },
  };
}

function idOf(account: number): string {
  return `customer-${account}`;
}

function streamOf(account: number): string {
  return `account-${idOf(account)}`;
}

async function timed(count: number, run: () => Promise<void>): Promise<number> {
  const start = process.hrtime.bigint();
  await run();
  return count / (Number(process.hrtime.bigint() - start) / 1e9);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? NaN;
}

function thousands(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}
