import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/support/database.js';
import type { EventStore, RecordedEvent } from '../eventstore/event-store.js';
import { newEvent } from '../eventstore/event-store.contract.js';
import { createPostgresEventStore } from '../eventstore/postgres-event-store.js';
import type { FeedBatch } from './outbox.js';
import { createPostgresFeed, type FeedLimits, type PostgresFeed } from './postgres-feed.js';
import { createPostgresOutbox } from './postgres-outbox.js';

/** Longer than any test: what is seen before was not found by polling. */
const NEVER_MS = 3_600_000;

let database: TestDatabase;
let ledger: string;
let counter = 0;
let stop: AbortController;
let feeds: PostgresFeed[];
let store: EventStore;
let errors: Error[];

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(async () => {
  await database.drop();
});
beforeEach(() => {
  counter += 1;
  ledger = `ledger-${counter}`;
  stop = new AbortController();
  feeds = [];
  errors = [];
  store = createPostgresEventStore({ pool: database.pool, ledger });
});
afterEach(async () => {
  stop.abort();
  await store.close();
  for (const feed of feeds) await feed.close();
});

function openFeed(limits: Partial<FeedLimits>): PostgresFeed {
  const feed = createPostgresFeed({ pool: database.pool, ledger, limits, onError: (error) => errors.push(error) });
  feeds.push(feed);
  return feed;
}

async function append(count: number, to: EventStore = store): Promise<void> {
  const stream = `account-${crypto.randomUUID()}`;
  const events = Array.from({ length: count }, (_, n) => newEvent({ n }));
  expect(await to.append({ stream, expectedRevision: 'no-stream', events })).toMatchObject({ kind: 'appended' });
}

/** Collects a follower's events; `until` resolves when it has this many. */
function collect(
  feed: PostgresFeed,
  afterPosition = 0n,
): { events: RecordedEvent[]; until(count: number): Promise<void> } {
  const events: RecordedEvent[] = [];
  const waiting = new Set<() => void>();
  let failure: Error | undefined;
  const following = (async () => {
    for await (const batch of feed.follow(afterPosition, stop.signal)) {
      expect(batch.head).toBeGreaterThanOrEqual(batch.events.at(-1)?.position ?? 0n);
      events.push(...batch.events);
      for (const check of waiting) check();
    }
  })();
  following.catch((error: Error) => {
    failure = error;
    for (const check of waiting) check();
  });
  return {
    events,
    until: (count) =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          if (failure !== undefined) reject(failure);
          if (events.length >= count) resolve();
        };
        waiting.add(check);
        check();
      }),
  };
}

function positionsOf(events: readonly RecordedEvent[]): bigint[] {
  return events.map(({ position }) => position);
}

function range(from: number, to: number): bigint[] {
  return Array.from({ length: to - from + 1 }, (_, n) => BigInt(from + n));
}

/** Resolves when the feed's connection listens. */
async function listening(): Promise<void> {
  for (;;) {
    const { rows } = await database.ownerPool.query(
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%' AND state = 'idle'`,
    );
    if (rows.length > 0) return;
  }
}

describe('the feed', () => {
  it('brings everything from where the consumer stands, then what comes', async () => {
    await append(25);
    const feed = openFeed({ maxBatchEvents: 10, pollMs: NEVER_MS });
    const all = collect(feed);
    const late = collect(feed, 20n);
    await all.until(25);
    await late.until(5);
    await listening();
    await append(5);
    await all.until(30);
    await late.until(10);
    expect(positionsOf(all.events)).toEqual(range(1, 30));
    expect(positionsOf(late.events)).toEqual(range(21, 30));
  });

  it('is woken by commits of other processes, without polling', async () => {
    const follower = collect(openFeed({ pollMs: NEVER_MS }));
    await listening();
    for (let n = 1; n <= 5; n++) {
      await append(1);
      await follower.until(n);
    }
    expect(positionsOf(follower.events)).toEqual(range(1, 5));
  });

  it('finds by polling what no notification told', async () => {
    const follower = collect(openFeed({ pollMs: 10 }));
    await listening();
    // A plain insert notifies nobody.
    await database.pool.query(
      `INSERT INTO outbox SELECT $1, 1, gen_random_uuid(), 's', 0, 'AccountOpened', 1, '{}', '{}', now()`,
      [ledger],
    );
    await follower.until(1);
  });

  it('listens again after its connection was killed, and looks for what it did not hear', async () => {
    const follower = collect(openFeed({ pollMs: NEVER_MS, reconnectMs: 5 }));
    await listening();
    await append(1);
    await follower.until(1);
    await database.ownerPool.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'`,
    );
    await append(1);
    await follower.until(2);
    expect(errors[0]).toMatchObject({ retryable: true });
    await listening();
    await append(1);
    await follower.until(3);
  });

  it('reads the next batch only when the consumer asks for it', async () => {
    await append(30);
    const feed = openFeed({ maxBatchEvents: 10, pollMs: NEVER_MS });
    const batches = feed.follow(0n, stop.signal)[Symbol.asyncIterator]();
    const next = async (): Promise<FeedBatch> => (await batches.next()).value as FeedBatch;
    expect(positionsOf((await next()).events)).toEqual(range(1, 10));
    await append(1);
    const second = await next();
    expect(positionsOf(second.events)).toEqual(range(11, 20));
    // Read just now: had it been read ahead, it would not know of the event appended since.
    expect(second.head).toBe(31n);
  });

  it('bounds a batch by bytes, but always goes on', async () => {
    const big = Array.from({ length: 6 }, () => newEvent({ text: 'x'.repeat(100_000) }));
    await store.append({ stream: 'account-big', expectedRevision: 'no-stream', events: big });
    const feed = openFeed({ maxBatchBytes: 250_000, pollMs: NEVER_MS });
    const sizes: number[] = [];
    for await (const { events } of feed.follow(0n, stop.signal)) {
      sizes.push(events.length);
      if (events.at(-1)?.position === 6n) break;
    }
    expect(sizes).toEqual([2, 2, 2]);
    const tiny = openFeed({ maxBatchBytes: 1, pollMs: NEVER_MS });
    const follower = collect(tiny);
    await follower.until(6);
  });

  it('ends when it is told to, asleep or not', async () => {
    const feed = openFeed({ pollMs: NEVER_MS });
    await append(1);
    const ended = (async () => {
      const seen: bigint[] = [];
      for await (const { events } of feed.follow(0n, stop.signal)) seen.push(...positionsOf(events));
      return seen;
    })();
    await listening();
    stop.abort();
    expect((await ended).length).toBeLessThanOrEqual(1);
    const never = feed.follow(0n, stop.signal)[Symbol.asyncIterator]();
    expect(await never.next()).toEqual({ done: true, value: undefined });
  });

  it('refuses to follow a log that ends before where the consumer stands', async () => {
    await append(3);
    const follower = collect(openFeed({ pollMs: NEVER_MS }), 4n);
    await expect(follower.until(1)).rejects.toThrow(/ends at 3/);
  });
});

describe('the shortcut for what this process committed', () => {
  it('brings the same events as the table', async () => {
    const feed = openFeed({ pollMs: NEVER_MS });
    const direct = createPostgresEventStore({
      pool: database.pool,
      ledger,
      onCommitted: (batch) => {
        feed.committed(batch);
      },
    });
    const follower = collect(feed);
    const data = { text: 'Zoë "₿"', list: [1, null, { b: 1, a: 2 }], left: undefined };
    await direct.append({
      stream: 'account-1',
      expectedRevision: 'no-stream',
      events: [newEvent(data), { ...newEvent({ n: 2 }), metadata: { actor: 'me' } }],
    });
    await follower.until(2);
    expect(follower.events).toEqual(await createPostgresOutbox({ pool: database.pool, ledger }).read(0n, 10));
    await direct.close();
  });

  it('never skips, when several processes commit in turn and the shortcut knows only its own', async () => {
    const feed = openFeed({ pollMs: 50, maxBatchEvents: 7, recentEvents: 20 });
    const direct = createPostgresEventStore({
      pool: database.pool,
      ledger,
      onCommitted: (batch) => {
        feed.committed(batch);
      },
    });
    const followers = [collect(feed), collect(feed)];
    await Promise.all(
      [direct, store].map(async (instance) => {
        for (let n = 0; n < 40; n++) await append(1 + (n % 4), instance);
      }),
    );
    await Promise.all(followers.map((follower) => follower.until(200)));
    for (const { events } of followers) expect(positionsOf(events)).toEqual(range(1, 200));
    await direct.close();
  });
});
