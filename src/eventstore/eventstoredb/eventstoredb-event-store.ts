import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { eventUpcaster, type Upcaster } from '../../domain/events/upcast.js';
import { invariant } from '../../platform/assert.js';
import { BusyError, FatalError, RetryableError } from '../../platform/errors.js';
import { createAppendChains } from '../append-chains.js';
import { DEFAULT_APPEND_LIMITS, type AppendLimits } from '../append-limits.js';
import type { AppendResult, EventStore, StoredOutcome } from '../event-store.js';
import { prepareAppend, type PreparedAppend } from '../prepare-append.js';
import { queryRows } from '../query-rows.js';
import { createAppendScheduler } from './append-scheduler.js';
import { createEventStoreConnection } from './connection.js';
import { DEFAULT_ESDB_LIMITS, MAX_STORED_APPEND_BYTES, type EventStoreDbLimits } from './esdb-limits.js';
import { readLedgerStream } from './read-ledger-stream.js';
import { createRelayedWaiter } from './relayed-waiter.js';
import { storedBytes, type WaitingAppend } from './waiting-append.js';

export interface EventStoreDbEventStoreOptions {
  /** `esdb://host:port?tls=false`, with several hosts or `esdb+discover` for a cluster. */
  url: string;
  /** Its `int8` must come as bigint. */
  pool: pg.Pool;
  ledger: string;
  limits?: Partial<AppendLimits>;
  storeLimits?: Partial<EventStoreDbLimits>;
  /** Tells each time that something came into the outbox; returns how to end that. Without it, the outbox is looked at now and then. */
  listen?: (wake: () => void) => () => Promise<void>;
  upcaster?: Upcaster;
  /** Told of failures that it gets over by itself. */
  onError?: (error: Error) => void;
}

const FIND_OUTCOME_SQL = `SELECT encode(request_hash, 'hex') AS request_hash, outcome, position FROM command_outcome
  WHERE ledger = $1 AND key = $2`;

/**
 * The event store whose events are in EventStoreDB. An append is acknowledged when it is there *and* the relay has put it into the outbox.
 * Idempotency keys are claimed in PostgreSQL before anything is sent: see docs/eventstoredb.md for why this is safe.
 */
export function createEventStoreDbEventStore(options: EventStoreDbEventStoreOptions): EventStore {
  const { url, pool, ledger, upcaster = eventUpcaster, onError = () => undefined } = options;
  const limits = { ...DEFAULT_APPEND_LIMITS, ...options.limits };
  const storeLimits = { ...DEFAULT_ESDB_LIMITS, ...options.storeLimits };
  const connection = createEventStoreConnection(url);
  const { relayTimeoutMs, statementTimeoutMs } = storeLimits;
  const waiter = createRelayedWaiter({ pool, ledger, timeoutMs: relayTimeoutMs, statementTimeoutMs });
  const stopListening = options.listen?.(() => {
    waiter.wake();
  });
  const scheduler = createAppendScheduler({
    pool,
    connection,
    ledger,
    owner: randomUUID(),
    limits: storeLimits,
    batchLimits: limits,
    waiter,
    randomUuid: randomUUID,
    onError,
  });
  const chains = createAppendChains();
  let unsettled = 0;
  let unsettledBytes = 0;
  let closing: Promise<void> | undefined;
  let allSettled: () => void = () => undefined;

  function add(append: PreparedAppend): Promise<AppendResult> {
    if (closing !== undefined) return Promise.reject(new RetryableError('the event store is closing'));
    if (append.bytes > limits.maxQueuedBytes) {
      return Promise.reject(new FatalError(`an append of ${append.bytes} bytes can never fit`, { limits }));
    }
    const bytes = append.expected === null ? 0 : storedBytes(append);
    if (bytes > MAX_STORED_APPEND_BYTES) {
      const message = `an append of ${bytes} bytes is more than EventStoreDB takes (${MAX_STORED_APPEND_BYTES})`;
      return Promise.reject(new FatalError(message, { stream: append.stream, events: append.events.length }));
    }
    if (unsettled >= limits.maxQueuedAppends || unsettledBytes + append.bytes > limits.maxQueuedBytes) {
      return Promise.reject(
        new BusyError(`${unsettled} appends (${unsettledBytes} bytes) are waiting`, limits.retryAfterSeconds),
      );
    }
    unsettled += 1;
    unsettledBytes += append.bytes;
    const last = (append.expected ?? -1n) + BigInt(append.events.length);
    const link = append.expected === null ? undefined : chains.link(append.stream, append.expected, last);
    return new Promise((resolve, reject) => {
      let isSettled = false;
      const waiting: WaitingAppend = {
        append,
        link,
        attempt: randomUUID(),
        storedExpected: append.expected ?? -1n,
        replaces: undefined,
        isRepeated: false,
        notBeforeMs: 0,
        untilMs: performance.now() + storeLimits.appendTimeoutMs,
        settle(result) {
          invariant(!isSettled, 'an append is answered once');
          isSettled = true;
          unsettled -= 1;
          unsettledBytes -= append.bytes;
          if (result instanceof Error) reject(result);
          else resolve(result);
          // By the next turn everybody who built on it has submitted or heard: see group-commit.
          if (link)
            setImmediate(() => {
              chains.forget(append.stream, last, link);
            });
          if (unsettled === 0) allSettled();
        },
      };
      scheduler.add(waiting);
    });
  }

  async function close(): Promise<void> {
    if (unsettled > 0) await new Promise<void>((resolve) => (allSettled = resolve));
    waiter.close();
    await stopListening?.();
    connection.close();
  }

  return {
    append: async (request) => add(prepareAppend(request, upcaster)),
    readStream: (stream, fromRevision, limit) =>
      readLedgerStream(
        { pool, connection, ledger, upcaster, waiter, timeoutMs: storeLimits.callTimeoutMs, statementTimeoutMs },
        stream,
        fromRevision,
        limit,
      ),
    findOutcome: async (key) => {
      const query = {
        name: 'find-outcome',
        text: FIND_OUTCOME_SQL,
        values: [ledger, key],
        query_timeout: statementTimeoutMs,
      };
      const [row] = await queryRows<{ request_hash: string; outcome: unknown; position: bigint | null }>(
        pool,
        query,
        'look-up of an idempotency key',
      );
      const stored: StoredOutcome | undefined = row && {
        requestHash: row.request_hash,
        outcome: row.outcome,
        position: row.position,
      };
      return stored;
    },
    close: () => (closing ??= close()),
  };
}
