import type pg from 'pg';
import { eventUpcaster, type Upcaster } from '../domain/events/upcast.js';
import { invariant } from '../platform/assert.js';
import { DEFAULT_APPEND_LIMITS, type AppendLimits } from './append-limits.js';
import { commitBatch } from './commit-batch.js';
import type { EventStore, RecordedEvent, StoredOutcome } from './event-store.js';
import { createGroupCommit, type CommittedBatch } from './group-commit.js';
import { prepareAppend } from './prepare-append.js';
import { queryRows } from './query-rows.js';
import { assertConsecutive, EVENT_COLUMNS, toRecordedEvent, type EventRow } from './recorded-event.js';

export interface PostgresEventStoreOptions {
  /** Its `int8` must come as bigint. One connection is in use while a batch commits. */
  pool: pg.Pool;
  ledger: string;
  limits?: Partial<AppendLimits>;
  /** Called after each commit, before its appends settle. Must not throw; nothing may depend on being called. */
  onCommitted?: (batch: CommittedBatch) => void;
  upcaster?: Upcaster;
}

/** Events of a stream at most in one read: 10,000 of usual size are 10 MB. */
const MAX_READ_LIMIT = 10_000;

const READ_STREAM_SQL = `SELECT ${EVENT_COLUMNS} FROM outbox
  WHERE ledger = $1 AND stream = $2 AND revision >= $3 ORDER BY revision LIMIT $4`;

const FIND_OUTCOME_SQL = `SELECT encode(request_hash, 'hex') AS request_hash, outcome, position FROM command_outcome
  WHERE ledger = $1 AND key = $2`;

/** The event store whose log is the table `outbox`: an event and its place in the ledger's order are one row. */
export function createPostgresEventStore(options: PostgresEventStoreOptions): EventStore {
  const { pool, ledger, upcaster = eventUpcaster, onCommitted = () => undefined } = options;
  const limits = { ...DEFAULT_APPEND_LIMITS, ...options.limits };
  const groupCommit = createGroupCommit(
    limits,
    (batch, careful) => commitBatch(pool, ledger, batch, { timeoutMs: limits.commitTimeoutMs, careful }),
    onCommitted,
  );

  return {
    // What is wrong with the request itself rejects, as every other failure does.
    append: async (request) => groupCommit.add(prepareAppend(request, upcaster)),
    readStream: (stream, fromRevision, limit) => readStream(pool, ledger, upcaster, stream, fromRevision, limit),
    findOutcome: (key) => findOutcome(pool, ledger, key),
    close: () => groupCommit.close(),
  };
}

async function readStream(
  pool: pg.Pool,
  ledger: string,
  upcaster: Upcaster,
  stream: string,
  fromRevision: bigint,
  limit: number,
): Promise<RecordedEvent[]> {
  invariant(fromRevision >= 0n, 'revisions begin at 0');
  invariant(
    Number.isInteger(limit) && limit >= 1 && limit <= MAX_READ_LIMIT,
    `a read is of 1 to ${MAX_READ_LIMIT} events`,
  );
  const rows = await queryRows<EventRow>(
    pool,
    { name: 'read-stream', text: READ_STREAM_SQL, values: [ledger, stream, fromRevision, limit] },
    `read of stream ${stream}`,
  );
  const events = rows.map((row) => toRecordedEvent(row, upcaster));
  assertConsecutive(events, fromRevision, 'revision', `stream ${stream}`);
  return events;
}

async function findOutcome(pool: pg.Pool, ledger: string, key: string): Promise<StoredOutcome | undefined> {
  const [row] = await queryRows<{ request_hash: string; outcome: unknown; position: bigint | null }>(
    pool,
    { name: 'find-outcome', text: FIND_OUTCOME_SQL, values: [ledger, key] },
    'look-up of an idempotency key',
  );
  return row && { requestHash: row.request_hash, outcome: row.outcome, position: row.position };
}
