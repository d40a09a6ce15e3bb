import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { invariant } from '../../platform/assert.js';
import { FatalError, RetryableError } from '../../platform/errors.js';
import { awaitCaughtUp } from '../eventstoredb/await-caught-up.js';
import type { EventStoreConnection } from '../eventstoredb/connection.js';
import { DEFAULT_ESDB_LIMITS, MAX_RETRY_MS, MAX_STORED_APPEND_BYTES } from '../eventstoredb/esdb-limits.js';
import type { EventToStore } from '../eventstoredb/messages.js';
import { MAX_RUN_EVENTS } from '../eventstoredb/slots.js';
import { encodeMetadata } from '../eventstoredb/stored-metadata.js';
import { readStoredEvents, sendAppend } from '../eventstoredb/stream-calls.js';
import { storedBytes } from '../eventstoredb/waiting-append.js';
import { toStoredStream } from '../eventstoredb/stream-names.js';
import type { ImportSink } from './import-log.js';
import type { EventLine } from './log-line.js';

/** An import waits so long for EventStoreDB and for the relay before it gives up; started again, it goes on. */
const PATIENCE_MS = 60_000;

/**
 * Imports into EventStoreDB: one append after the other, because their order is the ledger's; neighbours of one stream together. The relay,
 * here or elsewhere, must be running: a page is done when it is in the outbox.
 */
export function createEventStoreDbSink(options: {
  connection: EventStoreConnection;
  pool: pg.Pool;
  ledger: string;
  onError: (error: Error) => void;
}): ImportSink {
  const { connection, pool, ledger, onError } = options;
  const { callTimeoutMs, retryMs } = DEFAULT_ESDB_LIMITS;
  const awaitRelay = (): Promise<void> =>
    awaitCaughtUp({ pool, connection, ledger, callTimeoutMs, timeoutMs: PATIENCE_MS });

  async function append(events: readonly EventLine[]): Promise<void> {
    const [first] = events;
    invariant(first !== undefined, 'an append has events');
    const stream = toStoredStream(ledger, first.stream);
    const expected = first.revision - 1n;
    const id = randomUUID();
    const stored = events.map((event, index) => toStored(event, id, events.length - 1 - index));
    const untilMs = performance.now() + PATIENCE_MS;
    for (let waitMs = retryMs; ; waitMs = Math.min(waitMs * 2, MAX_RETRY_MS)) {
      try {
        const answer = await sendAppend(connection, { stream, expected, events: stored, timeoutMs: callTimeoutMs });
        if (answer.kind === 'success') return;
        const there = await readStoredEvents(connection, {
          stream,
          from: expected + 1n,
          count: events.length,
          timeoutMs: callTimeoutMs,
        });
        if (there.length === events.length && there.every(({ id }, index) => id === events[index]?.id)) return;
        throw new FatalError(
          `stream ${first.stream} of ledger ${ledger} is at revision ${answer.actual} in EventStoreDB, not at ${expected}: somebody else writes to it`,
        );
      } catch (error) {
        if (!(error instanceof RetryableError) || performance.now() >= untilMs) throw error;
        onError(error);
        await sleep(waitMs);
      }
    }
  }

  return {
    prepare: awaitRelay,
    async write(events) {
      for (const run of neighbours(events)) await append(run);
      await awaitRelay();
    },
  };
}

/** Neighbours of one stream, as many as fit into one append. */
function neighbours(events: readonly EventLine[]): EventLine[][] {
  const runs: EventLine[][] = [];
  let bytes = 0;
  for (const event of events) {
    const size = bytesOf(event);
    const run = runs.at(-1);
    const fits = run !== undefined && run.length < MAX_RUN_EVENTS && bytes + size <= MAX_STORED_APPEND_BYTES;
    if (fits && run[0]?.stream === event.stream) {
      run.push(event);
      bytes += size;
    } else {
      runs.push([event]);
      bytes = size;
    }
  }
  return runs;
}

function bytesOf(event: EventLine): number {
  return storedBytes({ events: [event], idempotency: event.outcome });
}

function toStored(event: EventLine, append: string, more: number): EventToStore {
  const { id, type, dataJson, metadataJson, revision, schemaVersion, outcome, recordedAt } = event;
  return {
    id,
    type,
    data: Buffer.from(dataJson, 'utf8'),
    metadata: encodeMetadata(metadataJson, {
      revision,
      schemaVersion,
      append,
      more,
      key: outcome?.key,
      outcome,
      recordedAtMs: recordedAt.getTime(),
    }),
  };
}
