import { describe, expect, it } from 'vitest';
import type { RecordedEvent } from '../eventstore/event-store.js';
import type { SpanOptions, Tracing } from '../platform/tracing.js';
import type { FeedBatch } from './outbox.js';
import { traceFeed } from './trace-feed.js';

const NOW_MS = Date.parse('2026-11-21T12:00:00Z');

interface Noted extends SpanOptions {
  name: string;
  isOpen: boolean;
}

/** Notes spans instead of sending them. */
function notingTracing(): { tracing: Tracing; spans: Noted[] } {
  const spans: Noted[] = [];
  const tracing: Tracing = {
    begin: (name, options) => {
      const span: Noted = { name, ...options, isOpen: true };
      spans.push(span);
      const spanId = String(spans.length).padStart(16, '0');
      return {
        traceId: 'a'.repeat(32),
        traceparent: `00-${'a'.repeat(32)}-${spanId}-01`,
        end: () => {
          span.isOpen = false;
        },
      };
    },
    close: () => Promise.resolve(),
  };
  return { tracing, spans };
}

function event(position: number, trace: string | undefined, ageMs = 1_000): RecordedEvent {
  return {
    position: BigInt(position),
    id: `00000000-0000-4000-8000-${String(position).padStart(12, '0')}`,
    stream: 'account-a',
    revision: BigInt(position),
    type: 'AccountOpened',
    schemaVersion: 1,
    data: {},
    metadata: trace === undefined ? {} : { traceparent: trace },
    recordedAt: new Date(NOW_MS - ageMs),
  };
}

const parent = (n: number, flags = '01'): string => `00-${'b'.repeat(32)}-${String(n).padStart(16, '0')}-${flags}`;

/** Hands one batch to a consumer that looks at the spans while it has it. */
async function deliver(events: RecordedEvent[]): Promise<{ spans: Noted[]; openMeanwhile: number }> {
  const { tracing, spans } = notingTracing();
  async function* batches(): AsyncGenerator<FeedBatch> {
    await Promise.resolve();
    yield { events, head: BigInt(events.length) };
  }
  const feed = traceFeed({ follow: batches, wake: () => undefined }, { tracing, system: 'kafka', now: () => NOW_MS });
  let openMeanwhile = 0;
  for await (const batch of feed.follow(0n, new AbortController().signal)) {
    expect(batch.events).toBe(events);
    openMeanwhile = spans.filter(({ isOpen }) => isOpen).length;
  }
  expect(spans.filter(({ isOpen }) => isOpen)).toEqual([]);
  return { spans, openMeanwhile };
}

describe('a traced feed', () => {
  it('says of each recorded trace when it came and how long it took to apply, once for all its events', async () => {
    const { spans, openMeanwhile } = await deliver([event(1, parent(1)), event(2, parent(1)), event(3, parent(2))]);
    expect(spans.map(({ name, parent: of }) => [name, of?.slice(36, 52)])).toEqual([
      ['deliver', '0000000000000001'],
      ['project', '0000000000000001'],
      ['deliver', '0000000000000002'],
      ['project', '0000000000000003'],
    ]);
    expect(spans[0]).toMatchObject({
      kind: 'CONSUMER',
      startedAt: new Date(NOW_MS - 1_000),
      attributes: { 'messaging.system': 'kafka', 'tallystick.position': 1, 'tallystick.events': 2 },
    });
    expect(openMeanwhile).toBe(2);
  });

  it('says nothing of events without a recorded trace, nor of those that are read again long after', async () => {
    const { spans } = await deliver([
      event(1, undefined),
      event(2, parent(1, '00')),
      event(3, 'no traceparent'),
      event(4, parent(2), 16 * 60_000),
    ]);
    expect(spans).toEqual([]);
  });

  it('tells of a bounded number of traces, however many are in a batch', async () => {
    const { spans } = await deliver(Array.from({ length: 500 }, (_, n) => event(n + 1, parent(n + 1))));
    expect(spans).toHaveLength(2 * 64);
  });

  it('does not begin after it ended where the clock of the database is ahead', async () => {
    const { spans } = await deliver([event(1, parent(1), -5_000)]);
    expect(spans[0]?.startedAt).toEqual(new Date(NOW_MS));
  });

  it('ends its spans where the consumer fails', async () => {
    const { tracing, spans } = notingTracing();
    async function* batches(): AsyncGenerator<FeedBatch> {
      await Promise.resolve();
      yield { events: [event(1, parent(1))], head: 1n };
    }
    const feed = traceFeed(
      { follow: batches, wake: () => undefined },
      { tracing, system: 'postgresql', now: () => NOW_MS },
    );
    const consume = async (): Promise<void> => {
      for await (const batch of feed.follow(0n, new AbortController().signal)) {
        throw new Error(`no room for ${batch.events.length}`);
      }
    };
    await expect(consume()).rejects.toThrow('no room for 1');
    expect(spans.map(({ isOpen }) => isOpen)).toEqual([false, false]);
  });
});
