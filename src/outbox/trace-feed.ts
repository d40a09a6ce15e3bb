import type { RecordedEvent } from '../eventstore/event-store.js';
import { isSampled } from '../platform/http/trace-context.js';
import type { OpenSpan, Tracing } from '../platform/tracing.js';
import type { FeedBatch, OutboxFeed } from './outbox.js';

/** Traces that are told of one batch. A batch has at most some thousand events; who needs all of them reads the log. */
const MAX_TRACES_PER_BATCH = 64;
/** What is read later than this is a replay, and no part of what somebody waits for. Receivers drop spans so late as well. */
const MAX_AGE_MS = 15 * 60_000;

export interface TracedFeedOptions {
  tracing: Tracing;
  /** How events come here: `kafka`, or `postgresql` for the table itself. */
  system: 'kafka' | 'postgresql';
  /** Milliseconds. */
  now: () => number;
}

interface Traced {
  first: RecordedEvent;
  events: number;
}

/**
 * The feed of a consumer, with two spans for each recorded trace that has an event in a batch: `deliver`, from when the event was recorded
 * until it was here, and below it `project`, until the consumer asked for the next batch, which is when it has applied this one. Feed and
 * consumer know nothing of it.
 */
export function traceFeed(feed: OutboxFeed, options: TracedFeedOptions): OutboxFeed {
  async function* traced(batches: AsyncIterable<FeedBatch>): AsyncGenerator<FeedBatch> {
    for await (const batch of batches) {
      const spans = beginSpans(batch.events, options);
      try {
        yield batch;
      } finally {
        for (const span of spans) span.end();
      }
    }
  }

  return {
    follow: (afterPosition, signal) => traced(feed.follow(afterPosition, signal)),
    wake: (position) => {
      feed.wake(position);
    },
  };
}

function beginSpans(events: readonly RecordedEvent[], { tracing, system, now }: TracedFeedOptions): OpenSpan[] {
  const arrivedMs = now();
  return [...tracesOf(events, arrivedMs - MAX_AGE_MS)].map(([parent, { first, events: count }]) => {
    const { stream, type, position, recordedAt } = first;
    // The database's clock has written it: on another machine it may be ahead of ours.
    const startedAt = new Date(Math.min(recordedAt.getTime(), arrivedMs));
    const at = new Date(arrivedMs);
    const attributes = {
      'tallystick.stream': stream,
      'tallystick.type': type,
      'tallystick.position': Number(position),
      'tallystick.events': count,
    };
    const delivered = tracing.begin('deliver', {
      kind: 'CONSUMER',
      parent,
      startedAt,
      attributes: { 'messaging.system': system, ...attributes },
    });
    delivered.end({ at });
    return tracing.begin('project', {
      kind: 'INTERNAL',
      parent: delivered.traceparent,
      startedAt: at,
      attributes: { ...attributes, 'tallystick.batch_events': events.length },
    });
  });
}

function tracesOf(events: readonly RecordedEvent[], notBeforeMs: number): ReadonlyMap<string, Traced> {
  const traces = new Map<string, Traced>();
  for (const event of events) {
    const { traceparent } = event.metadata;
    if (!isSampled(traceparent) || event.recordedAt.getTime() < notBeforeMs) continue;
    const known = traces.get(traceparent);
    if (known !== undefined) known.events += 1;
    else if (traces.size < MAX_TRACES_PER_BATCH) traces.set(traceparent, { first: event, events: 1 });
  }
  return traces;
}
