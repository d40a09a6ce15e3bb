import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
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
import { createRelay } from '../src/eventstore/relay/relay.js';
import { readLog } from '../src/eventstore/transfer/read-log.js';
import type { EventLine } from '../src/eventstore/transfer/log-line.js';
import { migrate } from '../src/platform/postgres/migrate.js';
import { createPool } from '../src/platform/postgres/pool.js';
import { startTemporaryPostgres } from '../test/support/postgres-server.js';
import type { BenchRow } from './bench-row.js';
import { median } from './median-times.js';

const GOAL = 0.5;
/** As large as the relay's own. */
const BATCH = 1000;

/**
 * Events from `$all` into the outbox: the relay, from the stand-in server in another process, against plain multi-row INSERTs of the same rows
 * (events and outcomes) into the same tables without their triggers, in batches of the same size, ready in memory.
 */
export async function runRelayBench({ quick }: { quick: boolean }): Promise<BenchRow[]> {
  const events = quick ? 20_000 : 100_000;
  const rounds = quick ? 3 : 5;
  const server = await startTemporaryPostgres([]);
  const eventStore = fork(fileURLToPath(new URL('./relay-server.js', import.meta.url)), [String(events)]);
  try {
    const url = await urlOf(eventStore);
    const relayed: number[] = [];
    const plain: number[] = [];
    let batches = 0;
    // The first round is warm-up.
    for (let round = 0; round <= rounds; round += 1) {
      const pool = await freshDatabase(server.url, `round_${round}`);
      try {
        const relay = await timeRelay(pool, url, events);
        const lines: EventLine[] = [];
        for await (const line of readLog(pool, 'bench', 0n)) if (line.kind === 'event') lines.push(line);
        const inserted = await timePlain(pool, lines);
        if (round === 0) continue;
        relayed.push(events / relay.seconds);
        plain.push(events / inserted);
        batches += relay.batches;
      } finally {
        await pool.end();
      }
    }
    const ratio = median(relayed.map((value, round) => value / (plain[round] ?? NaN)));
    return [
      {
        bench: 'relay',
        measure: `events/s from $all into the outbox, ${events.toLocaleString('en')} events, stand-in server`,
        value: `${thousands(median(relayed))}/s`,
        reference: `${thousands(median(plain))}/s plain multi-row INSERT of the same rows`,
        ratio,
        goal: `≥ ${GOAL}`,
        met: ratio >= GOAL,
        note: `median of ${rounds} rounds, each in a new database; ${Math.round((events * rounds) / batches)} events per transaction; fsync on; the stand-in shares the cores`,
      },
    ];
  } finally {
    eventStore.disconnect();
    await server.stop();
  }
}

async function urlOf(eventStore: ChildProcess): Promise<string> {
  const [message] = (await once(eventStore, 'message')) as [{ url: string }];
  return message.url;
}

async function freshDatabase(serverUrl: string, name: string): Promise<pg.Pool> {
  const admin = createPool(serverUrl, { max: 1 });
  await admin.query(`CREATE DATABASE ${name}`);
  await admin.end();
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  await migrate(url.toString());
  const pool = createPool(url.toString(), { max: 4 });
  await pool.query('CREATE TABLE plain_outbox (LIKE outbox INCLUDING ALL)');
  await pool.query('CREATE TABLE plain_outcome (LIKE command_outcome INCLUDING ALL)');
  return pool;
}

async function timeRelay(pool: pg.Pool, url: string, events: number): Promise<{ seconds: number; batches: number }> {
  let failure: Error | undefined;
  const fail = (error: unknown): void => {
    failure = new Error('the relay failed', { cause: error });
  };
  const relay = createRelay({ url, pool, ledger: 'bench', onFatal: fail, onHalt: fail, onError: fail });
  const start = performance.now();
  relay.start();
  while (relay.status().relayedEvents < events) {
    if (failure !== undefined) throw failure;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  const seconds = (performance.now() - start) / 1000;
  const { batches } = relay.status();
  await relay.stop();
  return { seconds, batches };
}

const PLAIN_SQL = `WITH events AS (
    INSERT INTO plain_outbox (ledger, position, id, stream, revision, type, schema_version, data, metadata, recorded_at)
    SELECT 'plain', position, id, stream, revision, type, version, data, metadata, now()
    FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::int[], $7::jsonb[], $8::jsonb[])
      AS e(position, id, stream, revision, type, version, data, metadata))
  INSERT INTO plain_outcome (ledger, key, request_hash, outcome, position, recorded_at)
  SELECT 'plain', key, hash, outcome, position, now()
  FROM unnest($9::text[], $10::bytea[], $11::json[], $1::bigint[]) AS o(key, hash, outcome, position)`;

async function timePlain(pool: pg.Pool, lines: readonly EventLine[]): Promise<number> {
  const start = performance.now();
  for (let at = 0; at < lines.length; at += BATCH) {
    const rows = lines.slice(at, at + BATCH);
    await pool.query({
      name: 'plain',
      text: PLAIN_SQL,
      values: [
        int8Array(rows.map(({ position }) => position)),
        uuidArray(rows.map(({ id }) => id)),
        textArray(rows.map(({ stream }) => stream)),
        int8Array(rows.map(({ revision }) => revision)),
        textArray(rows.map(({ type }) => type)),
        int4Array(rows.map(({ schemaVersion }) => schemaVersion)),
        jsonbArray(rows.map(({ dataJson }) => dataJson)),
        jsonbArray(rows.map(({ metadataJson }) => metadataJson)),
        textArray(rows.map(({ outcome }) => outcome?.key ?? null)),
        byteaArray(rows.map(({ outcome }) => outcome?.requestHash ?? null)),
        jsonArray(rows.map(({ outcome }) => outcome?.outcomeJson ?? null)),
      ],
    });
  }
  return (performance.now() - start) / 1000;
}

function thousands(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}
