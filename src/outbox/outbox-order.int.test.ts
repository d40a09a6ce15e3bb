import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/support/database.js';
import { hashOf, newEvent } from '../eventstore/event-store.contract.js';
import { createPostgresEventStore } from '../eventstore/postgres-event-store.js';
import { createPostgresFeed } from './postgres-feed.js';
import { createPostgresOutbox } from './postgres-outbox.js';

interface Row {
  position: number;
  stream?: string;
  revision?: number;
  recordedAt?: string;
  id?: string;
}

const INSERT = `INSERT INTO outbox (ledger, position, id, stream, revision, type, schema_version, data, metadata, recorded_at)
  SELECT $1, r.position, coalesce(r.id, gen_random_uuid()), coalesce(r.stream, 'account-' || r.position), coalesce(r.revision, 0),
    'AccountOpened', 1, '{}', '{}', coalesce(r."recordedAt", '2026-01-01T00:00:00Z')
  FROM jsonb_to_recordset($2) AS r(position bigint, id uuid, stream text, revision bigint, "recordedAt" timestamptz)`;

let database: TestDatabase;
let ledger: string;
let counter = 0;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(async () => {
  await database.drop();
});
beforeEach(() => {
  counter += 1;
  ledger = `ledger-${counter}`;
});

async function insert(client: pg.Pool | pg.PoolClient, ...rows: Row[]): Promise<void> {
  await client.query(INSERT, [ledger, JSON.stringify(rows)]);
}

async function positions(): Promise<bigint[]> {
  return (await createPostgresOutbox({ pool: database.pool, ledger }).read(0n, 1000)).map(({ position }) => position);
}

describe('the database keeps the order, whoever inserts', () => {
  it('takes rows that continue it, one or many', async () => {
    await insert(database.pool, { position: 1 }, { position: 2 });
    await insert(database.pool, { position: 3, stream: 's' }, { position: 4, stream: 's', revision: 1 });
    expect(await positions()).toEqual([1n, 2n, 3n, 4n]);
  });

  it.each<[string, Row[]]>([
    ['skips a position', [{ position: 4 }]],
    ['repeats a position', [{ position: 2 }]],
    ['has a gap in the middle', [{ position: 3 }, { position: 5 }]],
    ['begins at 0', [{ position: 0 }]],
    ['repeats a revision', [{ position: 3, stream: 'account-1' }]],
    ['skips a revision', [{ position: 3, stream: 'account-1', revision: 2 }]],
    ['begins a stream at revision 1', [{ position: 3, stream: 'fresh', revision: 1 }]],
    [
      'has the revisions of a stream in the wrong order',
      [
        { position: 3, stream: 's', revision: 1 },
        { position: 4, stream: 's', revision: 0 },
      ],
    ],
    ['has a time before the last', [{ position: 3, recordedAt: '2025-12-31T23:59:59.999Z' }]],
    [
      'has a time that goes back within it',
      [
        { position: 3, recordedAt: '2026-01-02T00:00:00Z' },
        { position: 4, recordedAt: '2026-01-01T12:00:00Z' },
      ],
    ],
  ])('refuses an insert that %s, as the application and as the owner', async (_, rows) => {
    await insert(database.pool, { position: 1 }, { position: 2 });
    await expect(insert(database.pool, ...rows)).rejects.toMatchObject({
      code: expect.stringMatching(/^23/) as string,
    });
    await expect(insert(database.ownerPool, ...rows)).rejects.toMatchObject({
      code: expect.stringMatching(/^23/) as string,
    });
    expect(await positions()).toEqual([1n, 2n]);
  });

  it('refuses an id that is there already, in another ledger too', async () => {
    const id = randomUUID();
    await insert(database.pool, { position: 1, id });
    await expect(insert(database.pool, { position: 2, id })).rejects.toThrow(/outbox_id_key/);
  });

  it.each([
    ['UPDATE outbox SET data = data'],
    ["UPDATE outbox SET type = 'x' WHERE false"],
    ['DELETE FROM outbox WHERE position = 1'],
    ['TRUNCATE outbox'],
    ["UPDATE command_outcome SET outcome = 'null'"],
    ['DELETE FROM command_outcome'],
    ['TRUNCATE command_outcome'],
    ['UPDATE ledger_head SET position = position + 1'],
    ["UPDATE ledger_head SET recorded_at = '2000-01-01'"],
    ['DELETE FROM ledger_head'],
    ['TRUNCATE ledger_head'],
    ["INSERT INTO ledger_head VALUES ('made-up', 7, now())"],
  ])('refuses %s, as the application, as the owner, and with triggers for replicas only', async (sql) => {
    await insert(database.pool, { position: 1 });
    await expect(database.pool.query(sql)).rejects.toMatchObject({
      code: expect.stringMatching(/^(42501|23000)$/) as string,
    });
    await expect(database.ownerPool.query(sql)).rejects.toMatchObject({ code: '23000' });
    const client = await database.ownerPool.connect();
    try {
      await client.query('SET session_replication_role = replica');
      await expect(client.query(sql)).rejects.toMatchObject({ code: '23000' });
    } finally {
      client.release(true);
    }
    expect(await positions()).toEqual([1n]);
  });

  it('keeps ledgers apart: each has its own positions', async () => {
    await insert(database.pool, { position: 1 });
    const first = ledger;
    ledger = `${first}-other`;
    await insert(database.pool, { position: 1 });
    await insert(database.pool, { position: 2 });
    expect(await positions()).toEqual([1n, 2n]);
    ledger = first;
    expect(await positions()).toEqual([1n]);
  });
});

describe('time', () => {
  it('never goes back, also when the clock does', async () => {
    const store = createPostgresEventStore({ pool: database.pool, ledger });
    await insert(database.ownerPool, { position: 1 });
    // As if the clock had been an hour ahead and was then put right.
    const ahead = new Date(Math.ceil(Date.now() / 1000) * 1000 + 3_600_000);
    await database.ownerPool.query('UPDATE ledger_head SET recorded_at = $2 WHERE ledger = $1', [ledger, ahead]);
    const events = [newEvent()];
    const result = await store.append({ stream: 'account-x', expectedRevision: 'no-stream', events });
    expect(result).toMatchObject({ recordedAt: ahead });
    const outbox = createPostgresOutbox({ pool: database.pool, ledger });
    expect(await outbox.positionAt(new Date(ahead.getTime() - 1))).toBe(1n);
    expect((await outbox.read(1n, 1))[0]?.recordedAt).toEqual(ahead);
    await store.close();
  });

  it('finds the last position at or before a time, for every time', async () => {
    const day = (n: number): string => new Date(Date.UTC(2026, 0, n)).toISOString();
    // Days 2, 4, 4, 4, 6, 8, ... as positions 1, 2, 3, 4, 5, 6 ...
    const days = [2, 4, 4, 4, ...Array.from({ length: 40 }, (_, n) => 6 + 2 * n)];
    await insert(database.pool, ...days.map((n, index) => ({ position: index + 1, recordedAt: day(n) })));
    const outbox = createPostgresOutbox({ pool: database.pool, ledger });
    for (let n = 1; n <= 90; n++) {
      const expected = BigInt(days.filter((recorded) => recorded <= n).length);
      expect(await outbox.positionAt(new Date(day(n)))).toBe(expected);
    }
    expect(await outbox.positionAt(new Date())).toBe(BigInt(days.length));
    for (const early of [
      '1969-12-31T23:59:59.999Z',
      '0001-01-01T00:00:00Z',
      '0000-01-01T00:00:00Z',
      '-000001-12-31T00:00:00Z',
    ])
      expect(await outbox.positionAt(new Date(early))).toBe(0n);
    await expect(outbox.positionAt(new Date(Date.now() + 60_000))).rejects.toThrow(/future/);
  });

  it('waits for an append in flight that got its time before', async () => {
    const outbox = createPostgresOutbox({ pool: database.pool, ledger });
    await insert(database.pool, { position: 1 });
    const client = await database.pool.connect();
    try {
      await client.query('BEGIN');
      await client.query(INSERT, [ledger, JSON.stringify([{ position: 2, recordedAt: new Date().toISOString() }])]);
      let answered = false;
      const asked = outbox.positionAt(new Date()).then((position) => {
        answered = true;
        return position;
      });
      await waitUntil(async () => (await waitingForLock()) > 0);
      expect(answered).toBe(false);
      await client.query('COMMIT');
      expect(await asked).toBe(2n);
    } finally {
      client.release(true);
    }
  });
});

describe('transactions that commit in another order than they began', () => {
  it('cannot hide an event from a follower: the later one waits, and every event comes, in order', async () => {
    const feed = createPostgresFeed({ pool: database.pool, ledger, limits: { pollMs: 5 } });
    const stop = new AbortController();
    const seen: bigint[] = [];
    const following = (async () => {
      for await (const { events } of feed.follow(0n, stop.signal)) seen.push(...events.map(({ position }) => position));
    })();
    await insert(database.pool, { position: 1 });
    const first = await database.pool.connect();
    const second = await database.pool.connect();
    try {
      await first.query('BEGIN');
      await second.query('BEGIN');
      await insert(first, { position: 2 });
      // With a sequence this one would get 3, commit first, and a reader of `position > 1` would go on to 3 and never see 2.
      const later = insert(second, { position: 3 }).then(() => second.query('COMMIT'));
      await waitUntil(async () => (await waitingForLock()) > 0);
      await waitUntil(() => Promise.resolve(seen.length === 1));
      await first.query('COMMIT');
      await later;
      await waitUntil(() => Promise.resolve(seen.length === 3));
      expect(seen).toEqual([1n, 2n, 3n]);
    } finally {
      first.release(true);
      second.release(true);
      stop.abort();
      await following;
      await feed.close();
    }
  });

  it('refuses the one that took the same position, when the first has committed', async () => {
    const first = await database.pool.connect();
    try {
      await first.query('BEGIN');
      await insert(first, { position: 1, stream: 'a' });
      const late = insert(database.pool, { position: 1, stream: 'b' });
      late.catch(() => undefined);
      await waitUntil(async () => (await waitingForLock()) > 0);
      await first.query('COMMIT');
      await expect(late).rejects.toMatchObject({ code: expect.stringMatching(/^23/) as string });
    } finally {
      first.release(true);
    }
  });
});

/** Of each of twenty streams: a second's worth at least. */
const MOST_REVISIONS = 400n;

describe('a connection that is killed', () => {
  it('loses nothing and doubles nothing: the same requests, sent again, are answered as the first time', async () => {
    const store = createPostgresEventStore({ pool: database.pool, ledger });
    let killed = 0;
    let stop = false;
    const killer = (async () => {
      while (!stop) {
        const { rows } = await database.ownerPool.query<{ n: bigint }>(
          `SELECT count(pg_terminate_backend(pid)) AS n FROM pg_stat_activity
           WHERE datname = current_database() AND query LIKE 'SELECT * FROM append_events%' AND state = 'active'`,
        );
        killed += Number(rows[0]?.n ?? 0n);
        // Some batches must get through in between.
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    })();
    let unknown = 0;
    /** Answers how many events its stream has. */
    async function client(n: number): Promise<number> {
      // On a fast machine all is done before anybody is killed: then for as long as it takes.
      const isStruck = (): boolean => killed > 0 && unknown > 0;
      let revision = -1n;
      for (; revision < 10n || (!isStruck() && revision < MOST_REVISIONS); revision++) {
        const key = `${ledger}-${n}-${revision}`;
        const request = {
          stream: `account-${n}`,
          expectedRevision: revision < 0n ? ('no-stream' as const) : revision,
          events: [newEvent({ key })],
          idempotency: { key, requestHash: hashOf(key), outcome: { key } },
        };
        for (;;) {
          try {
            const result = await store.append(request);
            // Appended now, or by the attempt whose acknowledgement was lost.
            if (result.kind === 'key-used') expect(result.stored.outcome).toEqual({ key });
            else expect(result).toMatchObject({ kind: 'appended', revision: revision + 1n });
            break;
          } catch (error) {
            expect(error).toMatchObject({ retryable: true });
            unknown += 1;
          }
        }
      }
      return Number(revision) + 1;
    }
    let counts: number[] = [];
    try {
      counts = await Promise.all(Array.from({ length: 20 }, (_, n) => client(n)));
    } finally {
      stop = true;
      await killer;
      await store.close();
    }
    expect(killed).toBeGreaterThan(0);
    expect(unknown).toBeGreaterThan(0);
    const events = await createPostgresOutbox({ pool: database.pool, ledger }).read(0n, 10_000);
    expect(events).toHaveLength(counts.reduce((a, b) => a + b, 0));
    for (let n = 0; n < 20; n++) {
      const ofStream = events.filter(({ stream }) => stream === `account-${n}`);
      expect(ofStream.map(({ data }) => data)).toEqual(
        Array.from({ length: counts[n] ?? 0 }, (_, index) => ({ key: `${ledger}-${n}-${index - 1}` })),
      );
    }
  });
});

describe('an append whose data the database refuses', () => {
  it('fails alone, and for good; those that came with it are committed', async () => {
    const store = createPostgresEventStore({ pool: database.pool, ledger });
    const taken = randomUUID();
    await store.append({ stream: 'account-a', expectedRevision: 'no-stream', events: [newEvent({}, taken)] });
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, (_, n) =>
        store.append({
          stream: `account-${n}`,
          expectedRevision: 'no-stream',
          // The id of an event of another stream: a bug of the caller, not a repetition.
          events: [n === 13 ? newEvent({}, taken) : newEvent()],
        }),
      ),
    );
    results.forEach((result, n) => {
      if (n === 13) expect(result).toMatchObject({ status: 'rejected', reason: { retryable: false } });
      else expect(result).toMatchObject({ status: 'fulfilled', value: { kind: 'appended' } });
    });
    expect(await positions()).toHaveLength(20);
    await store.close();
  });

  it('takes what builds on it down with it, and not what is before it', async () => {
    const store = createPostgresEventStore({ pool: database.pool, ledger });
    const taken = randomUUID();
    await store.append({ stream: 'account-other', expectedRevision: 'no-stream', events: [newEvent({}, taken)] });
    const results = await Promise.allSettled(
      (['no-stream', 0n, 1n, 2n] as const).map((expectedRevision) =>
        store.append({
          stream: 'account-a',
          expectedRevision,
          events: [expectedRevision === 0n ? newEvent({}, taken) : newEvent()],
        }),
      ),
    );
    const refused = { value: { kind: 'wrong-expected-revision', actual: 0n } };
    expect(results).toMatchObject([
      { value: { kind: 'appended', revision: 0n } },
      { reason: { retryable: false } },
      refused,
      refused,
    ]);
    await store.close();
  });
});

async function waitingForLock(): Promise<number> {
  const { rows } = await database.ownerPool.query<{ n: number }>(
    `SELECT count(*)::int AS n FROM pg_stat_activity
     WHERE datname = current_database() AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()`,
  );
  return rows[0]?.n ?? 0;
}

async function waitUntil(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 2));
}

describe('the trace that an event belongs to', () => {
  const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

  it('is a column too, for whoever streams rows; null where there is none', async () => {
    const store = createPostgresEventStore({ pool: database.pool, ledger });
    const traced = { ...newEvent(1), metadata: { traceparent: trace } };
    await store.append({ stream: 's', expectedRevision: 'no-stream', events: [traced, newEvent(2)] });
    // A refused append makes the database look at each: the other way in.
    const refused = { stream: 's', expectedRevision: 'no-stream' as const, events: [newEvent(3)] };
    const again = { ...newEvent(4), metadata: { traceparent: trace } };
    await Promise.all([
      store.append(refused),
      store.append({ stream: 't', expectedRevision: 'no-stream', events: [again] }),
    ]);
    await store.close();
    const { rows } = await database.pool.query<{ traceparent: string | null }>(
      'SELECT traceparent FROM outbox WHERE ledger = $1 ORDER BY position',
      [ledger],
    );
    expect(rows.map(({ traceparent }) => traceparent)).toEqual([trace, null, trace]);
  });

  it.each([
    ['another than in its metadata', 'other', { traceparent: trace }],
    ['one that its metadata has not', trace, {}],
    ['none where its metadata has one', null, { traceparent: trace }],
  ])('is refused where it is %s', async (_, column, metadata) => {
    const insertion = database.pool.query(
      `INSERT INTO outbox (ledger, position, id, stream, revision, type, schema_version, data, metadata, recorded_at, traceparent)
       VALUES ($1, 1, gen_random_uuid(), 's', 0, 'AccountOpened', 1, '{}', $2, '2026-01-01T00:00:00Z', $3)`,
      [ledger, JSON.stringify(metadata), column],
    );
    await expect(insertion).rejects.toThrow(/outbox_check/);
  });
});

describe('events of some types', () => {
  const typed = (position: number, type: string): Promise<unknown> =>
    database.pool.query(
      `INSERT INTO outbox (ledger, position, id, stream, revision, type, schema_version, data, metadata, recorded_at)
       VALUES ($1, $2, gen_random_uuid(), $4, 0, $3, 1, '{}', '{}', '2026-01-01T00:00:00Z')`,
      [ledger, position, type, `s-${position}`],
    );

  it('come in order, without the others, up to a head that includes the others', async () => {
    const types = ['AccountOpened', 'ScriptWatched', 'AccountOpened', 'WalletCreated', 'AccountOpened'];
    for (const [i, type] of types.entries()) await typed(i + 1, type);
    const outbox = createPostgresOutbox({ pool: database.pool, ledger });
    const wanted = ['ScriptWatched', 'WalletCreated'];
    const all = await outbox.readOfTypes(0n, wanted);
    expect(all.events.map(({ position, type }) => [position, type])).toEqual([
      [2n, 'ScriptWatched'],
      [4n, 'WalletCreated'],
    ]);
    expect(all).toMatchObject({ upTo: 5n, head: 5n });
    expect(await outbox.readOfTypes(4n, wanted)).toEqual({ events: [], upTo: 5n, head: 5n });
    expect(await outbox.readOfTypes(5n, wanted)).toEqual({ events: [], upTo: 5n, head: 5n });
    await expect(outbox.readOfTypes(6n, wanted)).rejects.toThrow(/ends at 5/);
  });

  it('of an empty ledger are none', async () => {
    const outbox = createPostgresOutbox({ pool: database.pool, ledger });
    expect(await outbox.readOfTypes(0n, ['WalletCreated'])).toEqual({ events: [], upTo: 0n, head: 0n });
  });

  it('end where the bytes of a page do, and go on from there', async () => {
    for (let position = 1; position <= 6; position += 1) await typed(position, 'ScriptWatched');
    // Five of these are more than a page holds.
    await database.pool.query(
      `INSERT INTO outbox (ledger, position, id, stream, revision, type, schema_version, data, metadata, recorded_at)
       SELECT $1, p, gen_random_uuid(), 'big-' || p, 0, 'ScriptWatched', 1,
         jsonb_build_object('filling', repeat('x', 4000000)), '{}', '2026-01-01T00:00:00Z'
       FROM generate_series(7, 12) AS p`,
      [ledger],
    );
    const outbox = createPostgresOutbox({ pool: database.pool, ledger });
    const seen: bigint[] = [];
    let reads = 0;
    for (let upTo = 0n; upTo < 12n; reads += 1) {
      const page = await outbox.readOfTypes(upTo, ['ScriptWatched']);
      seen.push(...page.events.map(({ position }) => position));
      expect(page.upTo).toBeGreaterThan(upTo);
      upTo = page.upTo;
    }
    expect(seen).toEqual(Array.from({ length: 12 }, (_, i) => BigInt(i + 1)));
    expect(reads).toBeGreaterThan(1);
  });

  it('stop at a hole, also where it is in an event of another type', async () => {
    for (let position = 1; position <= 4; position += 1) await typed(position, 'AccountOpened');
    await database.ownerPool.query('ALTER TABLE outbox DISABLE TRIGGER USER');
    try {
      await database.ownerPool.query('DELETE FROM outbox WHERE ledger = $1 AND position = 3', [ledger]);
    } finally {
      await database.ownerPool.query('ALTER TABLE outbox ENABLE ALWAYS TRIGGER outbox_order');
      await database.ownerPool.query('ALTER TABLE outbox ENABLE ALWAYS TRIGGER outbox_append_only');
    }
    const outbox = createPostgresOutbox({ pool: database.pool, ledger });
    await expect(outbox.readOfTypes(0n, ['WalletCreated'])).rejects.toThrow(/positions 1 to 4 have 3 events/);
  });
});
