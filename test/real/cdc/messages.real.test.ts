import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { partitionOfLedger } from '../../../src/outbox/kafka/partition-of-ledger.js';
import { checkCdc } from '../../../src/outbox/kafka/cdc-health.js';
import { createPostgresOutbox } from '../../../src/outbox/postgres-outbox.js';
import { followLedger, newLedger, openBench, PATIENT, readTopic, type CdcBench } from '../../support/cdc-ledger.js';

let bench: CdcBench;
beforeAll(() => {
  bench = openBench();
});
afterAll(() => bench.close());

const TRACE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
/** What parsers that mean well change: numbers beyond 2^53, decimals, nulls, empty arrays, any Unicode, keys that look like syntax. */
const TRICKY = [
  '{"big": 9007199254740993123, "exact": 1.10, "tiny": 0.00000000000000000001, "n": null, "e": [], "o": {}}',
  '{"text": "é 😀 \\u0001 \\"quoted\\" \\\\ / </script>", "nested": [null, [], [{}], {"": ""}], "ключ": "значение"}',
  '{}',
  '[]',
  `{"long": "${'x'.repeat(400_000)}"}`,
];

it('a message is the row: its value byte for byte as stored, everything else as headers', async () => {
  const ledger = newLedger();
  await bench.pool.query(
    `INSERT INTO outbox (ledger, position, id, stream, revision, type, schema_version, data, metadata, recorded_at, traceparent)
     SELECT $1, n, gen_random_uuid(), 'stream ü', n - 1, 'AccountOpened', 1, d, m, '2026-01-02T03:04:05.678Z', m ->> 'traceparent'
     FROM (SELECT row_number() OVER () AS n, d,
             CASE WHEN row_number() OVER () = 1 THEN jsonb_build_object('traceparent', $3::text, 'actor', 'é😀') ELSE '{}' END AS m
           FROM unnest($2::jsonb[]) AS d) e`,
    [ledger, TRICKY, TRACE],
  );
  const { rows } = await bench.pool.query<Record<string, string | null>>(
    `SELECT data::text, metadata::text, id::text, position::text, revision::text FROM outbox WHERE ledger = $1 ORDER BY position`,
    [ledger],
  );
  const messages = await readTopic(bench, ledger, (found) => found.length >= TRICKY.length);
  expect(messages).toHaveLength(TRICKY.length);
  messages.forEach(({ partition, message }, index) => {
    const row = rows[index];
    expect(partition).toBe(partitionOfLedger(ledger, 12));
    expect(message.value?.equals(Buffer.from(row?.['data'] ?? '', 'utf8'))).toBe(true);
    const headers = Object.fromEntries(
      Object.entries(message.headers ?? {}).map(([name, value]) => [
        name,
        (value as Buffer | null)?.toString('utf8') ?? null,
      ]),
    );
    expect(headers).toEqual({
      ledger,
      position: row?.['position'],
      id: row?.['id'],
      stream: 'stream ü',
      revision: row?.['revision'],
      type: 'AccountOpened',
      schemaVersion: '1',
      metadata: row?.['metadata'],
      recordedAt: '2026-01-02T03:04:05.678Z',
      traceparent: index === 0 ? TRACE : null,
    });
  });
});

it('what the feed makes of it equals what the outbox answers', async () => {
  const ledger = newLedger();
  const follower = await followLedger(bench, ledger, `g-${ledger}`, PATIENT);
  try {
    const outbox = createPostgresOutbox({ pool: bench.pool, ledger });
    for (const [index, data] of TRICKY.entries()) {
      await bench.pool.query(
        `INSERT INTO outbox (ledger, position, id, stream, revision, type, schema_version, data, metadata, recorded_at)
         VALUES ($1, $2, $3, 's', $2::bigint - 1, 'AccountOpened', 1, $4, '{"actor": "a"}', now())`,
        [ledger, index + 1, randomUUID(), data],
      );
    }
    await follower.until(BigInt(TRICKY.length));
    expect(follower.seen).toEqual(await outbox.read(0n, 100));
    expect(follower.counts).toMatchObject({ gaps: 0, events: 0 });
  } finally {
    await follower.close();
  }
});

it('ledgers are found in the partition that their name says', async () => {
  const ledgers = Array.from({ length: 20 }, newLedger);
  for (const ledger of ledgers) {
    await bench.pool.query(
      `INSERT INTO outbox (ledger, position, id, stream, revision, type, schema_version, data, metadata, recorded_at)
       VALUES ($1, 1, gen_random_uuid(), 's', 0, 'AccountOpened', 1, '{}', '{}', now())`,
      [ledger],
    );
  }
  const last = ledgers.at(-1) ?? '';
  await readTopic(bench, last, (found) => found.length > 0);
  for (const ledger of ledgers.slice(0, 3)) {
    const [found] = await readTopic(bench, ledger, (messages) => messages.length > 0);
    expect(found?.partition).toBe(partitionOfLedger(ledger, 12));
  }
});

it('a healthy way from the outbox to Kafka is found healthy', async () => {
  const findings = await checkCdc(bench.target);
  expect(findings.map(({ part, state }) => [part, state])).toEqual([
    ['wal_level', 'ok'],
    ['publication', 'ok'],
    ['slot', 'ok'],
    ['lag', 'ok'],
    ['topic', 'ok'],
    ['connector', 'ok'],
  ]);
});

it('the connector may stream, and read nothing', async () => {
  const { rows } = await bench.pool.query<Record<string, boolean>>(
    `SELECT rolreplication, rolsuper, rolcreaterole, rolcreatedb, rolbypassrls,
       has_table_privilege('cdc', 'public.outbox', 'SELECT,INSERT,UPDATE,DELETE') AS outbox,
       has_schema_privilege('cdc', 'public', 'CREATE') AS make
     FROM pg_roles WHERE rolname = 'cdc'`,
  );
  expect(rows).toEqual([
    {
      rolreplication: true,
      rolsuper: false,
      rolcreaterole: false,
      rolcreatedb: false,
      rolbypassrls: false,
      outbox: false,
      make: false,
    },
  ]);
});
