import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { createUpcaster } from '../../domain/events/upcast.js';
import type { RecordedEvent } from '../../eventstore/event-store.js';
import { FatalError, RetryableError } from '../../platform/errors.js';
import type { Outbox } from '../outbox.js';
import type { FeedObserver } from './feed-observer.js';
import type { LedgerFeedLimits } from './ledger-feed-limits.js';
import { createLedgerFeed } from './ledger-feed.js';
import type { OutboxMessage } from './message.js';

const upcaster = createUpcaster({ AccountOpened: 1 }, {});
/** Impatient, so that a silence is noticed while a test waits. */
const FAST: Partial<LedgerFeedLimits> = { headPollMs: 4, silentMs: 12, pollMs: 2, minRetryMs: 1, visibleMs: 60_000 };
const PATIENT: Partial<LedgerFeedLimits> = { ...FAST, silentMs: 60_000 };

function eventAt(position: bigint): RecordedEvent {
  return {
    position,
    id: `00000000-0000-8000-8000-${position.toString(16).padStart(12, '0')}`,
    stream: `s-${position}`,
    revision: 0n,
    type: 'AccountOpened',
    schemaVersion: 1,
    data: { n: Number(position) },
    metadata: {},
    recordedAt: new Date(0),
  };
}

function messageAt(position: bigint, value?: string): OutboxMessage {
  const event = eventAt(position);
  const headers = {
    id: event.id,
    ledger: 'main',
    position: position.toString(),
    stream: event.stream,
    revision: '0',
    type: event.type,
    schemaVersion: '1',
    metadata: '{}',
    recordedAt: '1970-01-01T00:00:00Z',
  };
  const text = value ?? JSON.stringify(event.data);
  return {
    ledger: 'main',
    position,
    bytes: text.length,
    message: {
      key: Buffer.from('main'),
      value: Buffer.from(text),
      headers: Object.fromEntries(Object.entries(headers).map(([name, of]) => [name, Buffer.from(of)])),
      offset: '0',
      timestamp: '0',
      attributes: 0,
      size: 0,
    } as OutboxMessage['message'],
  };
}

/** An outbox in memory, that shows events up to `visible`, and may be away. */
class TestOutbox implements Outbox {
  visible = 0n;
  away = false;
  reads = 0;

  head(): Promise<bigint> {
    return this.away ? Promise.reject(new RetryableError('away')) : Promise.resolve(this.visible);
  }
  read(after: bigint, limit: number): Promise<RecordedEvent[]> {
    if (this.away) return Promise.reject(new RetryableError('away'));
    if (after > this.visible) return Promise.reject(new FatalError(`the log ends at ${this.visible}`));
    this.reads += 1;
    const count = this.visible - after < BigInt(limit) ? Number(this.visible - after) : limit;
    return Promise.resolve(Array.from({ length: count }, (_, i) => eventAt(after + BigInt(i) + 1n)));
  }
  readOfTypes(): never {
    throw new Error('not asked for');
  }
  positionAt(): never {
    throw new Error('not asked for');
  }
}

interface Counts {
  gaps: [bigint, bigint][];
  healed: number;
  events: number;
  duplicates: number;
  silent: string[];
  back: number;
  bad: number;
  overflows: number;
  failures: number;
}

function counting(): { counts: Counts; observer: FeedObserver } {
  const counts: Counts = {
    gaps: [],
    healed: 0,
    events: 0,
    duplicates: 0,
    silent: [],
    back: 0,
    bad: 0,
    overflows: 0,
    failures: 0,
  };
  return {
    counts,
    observer: {
      gapFound: (_, missing, found) => counts.gaps.push([missing, found]),
      gapHealed: () => (counts.healed += 1),
      eventsHealed: (_, count) => (counts.events += count),
      duplicatesDropped: (_, count) => (counts.duplicates += count),
      silent: (_, __, reason) => counts.silent.push(reason),
      backFromSilence: () => (counts.back += 1),
      badMessage: () => (counts.bad += 1),
      overflowed: () => (counts.overflows += 1),
      failed: () => (counts.failures += 1),
    },
  };
}

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

function stage(
  limits: Partial<LedgerFeedLimits>,
  { from = 0n, slowMs = 0, there = 0n, readWith = false, joined = true } = {},
) {
  const outbox = new TestOutbox();
  outbox.visible = there;
  const { counts, observer } = counting();
  const feed = createLedgerFeed({ ledger: 'main', outbox, observer, upcaster, limits, readWith: () => readWith });
  if (joined) feed.transport('up');
  const seen: RecordedEvent[] = [];
  const abort = new AbortController();
  const ended = (async () => {
    for await (const { events } of feed.follow(from, abort.signal)) {
      seen.push(...events);
      if (slowMs > 0) await sleep(slowMs);
    }
  })();
  let hasEnded = false;
  const noteEnd = (): void => {
    hasEnded = true;
  };
  ended.then(noteEnd, noteEnd);
  stops.push(() => {
    abort.abort();
    return ended.catch(() => undefined);
  });
  const commit = (...positions: bigint[]): void => {
    for (const position of positions) if (position > outbox.visible) outbox.visible = position;
  };
  const deliver = (...positions: bigint[]): void => {
    for (const position of positions) feed.deliver(messageAt(position));
  };
  const positions = (): bigint[] => seen.map(({ position }) => position);
  const until = async (count: number): Promise<void> => {
    for (let waits = 0; seen.length < count; waits += 1) {
      if (hasEnded || waits > 10_000) throw new Error(`only ${seen.length} of ${count} came`);
      await sleep(1);
    }
  };
  const settled = async (): Promise<void> => {
    while (feed.status().source !== 'kafka') await sleep(1);
  };
  return { outbox, counts, feed, seen, ended, commit, deliver, positions, until, settled };
}

const upTo = (last: bigint): bigint[] => Array.from({ length: Number(last) }, (_, i) => BigInt(i + 1));

describe('the feed of a ledger from Kafka', () => {
  it('begins with what the outbox has, then goes on with what Kafka delivers', async () => {
    const { commit, deliver, until, positions, settled, counts, seen } = stage(PATIENT, { there: 3n });
    await settled();
    commit(4n, 5n);
    deliver(4n, 5n);
    await until(5);
    expect(positions()).toEqual(upTo(5n));
    expect(seen.at(-1)).toEqual(eventAt(5n));
    expect(counts).toMatchObject({ gaps: [], events: 0, silent: [] });
  });

  it('fills a hole from the outbox before what came after it, tells it once, and drops what came late', async () => {
    const { commit, deliver, until, positions, settled, counts } = stage(PATIENT);
    await settled();
    commit(6n);
    deliver(1n, 5n, 6n, 2n, 3n);
    await until(6);
    expect(positions()).toEqual(upTo(6n));
    deliver(4n);
    commit(7n);
    deliver(7n);
    await until(7);
    expect(counts).toMatchObject({ gaps: [[2n, 5n]], healed: 1, events: 3, duplicates: 3 });
  });

  it('reads the outbox while the group is joined, and tells nobody: that is no failure', async () => {
    const { commit, deliver, until, settled, counts, feed, positions } = stage(PATIENT, { joined: false });
    commit(2n);
    await until(2);
    commit(3n);
    feed.wake(3n);
    await until(3);
    expect(feed.status().source).toBe('catching-up');
    feed.transport('up');
    await settled();
    deliver(4n);
    commit(4n);
    await until(4);
    feed.transport('joining');
    commit(5n);
    await until(5);
    feed.transport('up');
    await settled();
    expect(positions()).toEqual(upTo(5n));
    expect(counts).toMatchObject({ gaps: [], events: 0, silent: [], back: 0 });
  });

  it('does not look up what it was given: decoding may be ahead of what a SELECT sees', async () => {
    const { deliver, until, outbox, settled, positions } = stage(PATIENT);
    await settled();
    const { reads } = outbox;
    deliver(1n, 2n);
    await until(2);
    expect(positions()).toEqual([1n, 2n]);
    expect(outbox.reads).toBe(reads);
  });

  it('hands out an event that others are read with only when a SELECT sees it', async () => {
    const { deliver, until, settled, commit, seen, outbox, counts } = stage(
      { ...PATIENT, maxRetryMs: 2 },
      { readWith: true },
    );
    await settled();
    deliver(1n, 2n);
    await sleep(10);
    expect(seen).toHaveLength(0);
    outbox.away = true;
    while (counts.failures < 2) await sleep(1);
    outbox.away = false;
    commit(1n);
    await sleep(10);
    expect(seen).toHaveLength(0);
    commit(2n);
    await until(2);
  });

  it('waits for a missing event that is not visible yet', async () => {
    const { commit, deliver, until, positions, settled, seen } = stage(PATIENT);
    await settled();
    deliver(1n, 3n);
    await until(1);
    await sleep(10);
    expect(seen).toHaveLength(1);
    commit(3n);
    await until(3);
    expect(positions()).toEqual(upTo(3n));
  });

  it('notices that nothing comes while the outbox goes on, reads there until Kafka is back, and says both', async () => {
    const { commit, deliver, until, positions, settled, counts, feed } = stage(FAST);
    await settled();
    commit(3n);
    await until(3);
    expect(feed.status().source).toBe('silent');
    expect(counts).toMatchObject({ silent: ['silent'], events: 3, back: 0 });
    commit(4n);
    await until(4);
    // Kafka catches up: what is old is dropped, what is as new as we are means that it is back.
    deliver(1n, 2n);
    await sleep(10);
    expect(feed.status().source).toBe('silent');
    deliver(3n, 4n);
    await settled();
    deliver(5n);
    await until(5);
    expect(positions()).toEqual(upTo(5n));
    expect(counts).toMatchObject({ silent: ['silent'], back: 1, duplicates: 4 });
  });

  it('is not silent while the outbox stands still', async () => {
    const { settled, counts, feed } = stage(FAST);
    await settled();
    await sleep(60);
    expect(feed.status().source).toBe('kafka');
    expect(counts.silent).toEqual([]);
  });

  it('reads the outbox at once when it is told that Kafka is away, and is woken by a commit', async () => {
    const { commit, deliver, until, settled, counts, feed, positions } = stage({ ...PATIENT, pollMs: 60_000 });
    await settled();
    feed.transport('away');
    while (feed.status().source !== 'away') await sleep(1);
    await sleep(5);
    commit(2n);
    feed.wake(2n);
    await until(2);
    feed.transport('up');
    await settled();
    deliver(3n);
    await until(3);
    expect(positions()).toEqual(upTo(3n));
    expect(counts).toMatchObject({ silent: ['away'], back: 1 });
  });

  it('reads an event whose message is damaged from the outbox, also where nothing follows', async () => {
    const { commit, deliver, until, settled, counts, feed, positions, seen } = stage(PATIENT);
    await settled();
    commit(5n);
    feed.deliver(messageAt(1n));
    feed.deliver(messageAt(2n, '{"n":'));
    deliver(3n, 4n);
    feed.deliver(messageAt(5n, 'nonsense'));
    await until(5);
    expect(positions()).toEqual(upTo(5n));
    expect(seen[1]).toEqual(eventAt(2n));
    expect(counts.bad).toBe(2);
  });

  it('goes on while the database is away, and waits for it where something is missing', async () => {
    const { deliver, until, settled, counts, outbox, seen, commit, positions } = stage(PATIENT);
    await settled();
    outbox.away = true;
    deliver(1n, 2n);
    await until(2);
    deliver(4n);
    while (counts.failures === 0) await sleep(1);
    expect(seen).toHaveLength(2);
    commit(4n);
    outbox.away = false;
    await until(4);
    expect(positions()).toEqual(upTo(4n));
  });

  it('refuses events of another outbox: the one that it heals from ends before them, and stays so', async () => {
    const { deliver, settled, ended } = stage({ ...PATIENT, visibleMs: 20 });
    await settled();
    deliver(1n, 2n);
    await expect(ended).rejects.toThrow(/outbox ends at 0.*restored/);
  });

  it('holds Kafka back when its consumer is slow, within its bounds', async () => {
    const limits = { ...PATIENT, maxQueued: 5, maxBatchEvents: 2 };
    const { commit, until, positions, settled, feed, counts } = stage(limits, { slowMs: 3 });
    await settled();
    let refused = 0;
    for (let position = 1n; position <= 40n; position += 1n) {
      commit(position);
      while (!feed.deliver(messageAt(position))) {
        refused += 1;
        await feed.room(1000);
      }
    }
    await until(40);
    expect(positions()).toEqual(upTo(40n));
    expect(refused).toBeGreaterThan(5);
    expect(counts).toMatchObject({ gaps: [], events: 0, overflows: 0 });
  });

  it('sends a consumer that stays too slow to the outbox instead of keeping what waits for it', async () => {
    const limits = { ...PATIENT, maxQueued: 5, maxBatchEvents: 2 };
    const { commit, until, positions, settled, feed, counts, deliver } = stage(limits, { slowMs: 3 });
    await settled();
    commit(40n);
    for (const position of upTo(40n)) {
      if (!feed.deliver(messageAt(position))) feed.overflow(messageAt(position));
    }
    await until(40);
    await settled();
    commit(41n);
    deliver(41n);
    await until(41);
    expect(positions()).toEqual(upTo(41n));
    expect(counts.overflows).toBeGreaterThan(0);
    expect(counts.gaps).toEqual([]);
  });

  it('holds nobody back while it catches up, and keeps little', async () => {
    const limits = { ...PATIENT, maxQueued: 5, maxBatchEvents: 2 };
    const { until, positions, feed, settled } = stage(limits, { slowMs: 1, there: 100n });
    for (const position of upTo(100n)) expect(feed.deliver(messageAt(position))).toBe(true);
    await until(100);
    await settled();
    expect(positions()).toEqual(upTo(100n));
  });

  it('serves several followers at positions of their own', async () => {
    const { feed, outbox, deliver, settled, until, positions } = stage(PATIENT);
    await settled();
    outbox.visible = 4n;
    deliver(1n, 2n, 3n, 4n);
    await until(4);
    const abort = new AbortController();
    const other: bigint[] = [];
    for await (const { events } of feed.follow(2n, abort.signal)) {
      other.push(...events.map(({ position }) => position));
      if (other.length === 2) abort.abort();
    }
    expect(other).toEqual([3n, 4n]);
    expect(positions()).toEqual(upTo(4n));
  });

  it('hands out each event once and in order, whatever is delivered how often, lost, late, damaged or dropped', async () => {
    let gaps = 0;
    let silences = 0;
    let duplicates = 0;
    const action = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({ kind: fc.constant('commit' as const), count: fc.integer({ min: 1, max: 5 }) }),
      },
      {
        weight: 8,
        arbitrary: fc.record({
          kind: fc.constant('deliver' as const),
          back: fc.integer({ min: 0, max: 8 }),
          count: fc.integer({ min: 1, max: 5 }),
          damaged: fc.boolean(),
        }),
      },
      {
        weight: 1,
        arbitrary: fc.record({
          kind: fc.constant('transport' as const),
          state: fc.constantFrom('up' as const, 'joining' as const, 'away' as const),
        }),
      },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('database' as const), away: fc.boolean() }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('pause' as const), ms: fc.integer({ min: 0, max: 6 }) }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 60 }), fc.integer({ min: 2, max: 8 }), async (actions, queued) => {
        const limits = { ...FAST, maxQueued: queued, maxBatchEvents: 3 };
        const { commit, positions, feed, outbox, until, counts, seen } = stage(limits);
        for (const done of actions) {
          if (done.kind === 'commit') commit(outbox.visible + BigInt(done.count));
          else if (done.kind === 'deliver') {
            for (let n = 0; n < done.count; n += 1) {
              const position = outbox.visible - BigInt(done.back) + BigInt(n);
              // One more than is visible: decoding is ahead.
              if (position < 1n || position > outbox.visible + 1n) continue;
              const message = messageAt(position, done.damaged && n === 0 ? '{' : undefined);
              if (!feed.deliver(message)) feed.overflow(message);
            }
          } else if (done.kind === 'transport') feed.transport(done.state);
          else if (done.kind === 'database') outbox.away = done.away;
          else await sleep(done.ms);
        }
        outbox.away = false;
        commit(outbox.visible + 1n);
        await until(Number(outbox.visible));
        expect(positions()).toEqual(upTo(BigInt(seen.length)));
        expect(seen.length).toBe(Number(outbox.visible));
        gaps += counts.gaps.length;
        silences += counts.silent.length;
        duplicates += counts.duplicates;
        for (const stop of stops.splice(0)) await stop();
      }),
      { numRuns: 300 },
    );
    expect(gaps).toBeGreaterThan(20);
    expect(silences).toBeGreaterThan(10);
    expect(duplicates).toBeGreaterThan(20);
  });
});
