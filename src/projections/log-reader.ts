import type pg from 'pg';
import type { EventMetadata, RecordedEvent } from '../eventstore/event-store.js';
import { eventUpcaster } from '../domain/events/upcast.js';
import { invariant } from '../platform/assert.js';
import type { ReadStream } from './assembler.js';

/** Anything that runs a query: the pool or one connection. */
export type Queryable = Pick<pg.Pool, 'query'>;

interface LogRecord {
  position: bigint;
  id: string;
  stream: string;
  revision: bigint;
  type: string;
  schema_version: number;
  data: unknown;
  metadata: EventMetadata;
  recorded_at: Date;
}

const COLUMNS = 'position, id, stream, revision, type, schema_version, data, metadata, recorded_at';

/** Events after `afterPosition` in order, at most `limit`. Asserts that none is missing. */
export async function readLog(
  database: Queryable,
  ledger: string,
  afterPosition: bigint,
  limit: number,
): Promise<RecordedEvent[]> {
  const { rows } = await database.query<LogRecord>({
    name: 'projections.read_log',
    text: `SELECT ${COLUMNS} FROM outbox WHERE ledger = $1 AND position > $2 ORDER BY position LIMIT $3`,
    values: [ledger, afterPosition, limit],
  });
  rows.forEach(({ position }, index) => {
    const expected = afterPosition + BigInt(index) + 1n;
    invariant(position === expected, `ledger ${ledger}: position ${expected} is missing, got ${position}`);
  });
  return rows.map(recorded);
}

/** Reads a range of one stream from the outbox: read models need nothing else, in any mode. */
export function streamReader(database: Queryable, ledger: string): ReadStream {
  return async (stream, fromRevision, count) => {
    const { rows } = await database.query<LogRecord>({
      name: 'projections.read_stream',
      text: `SELECT ${COLUMNS} FROM outbox WHERE ledger = $1 AND stream = $2 AND revision >= $3 AND revision < $4 ORDER BY revision`,
      values: [ledger, stream, fromRevision, fromRevision + BigInt(count)],
    });
    return rows.map(recorded);
  };
}

function recorded(record: LogRecord): RecordedEvent {
  return {
    position: record.position,
    id: record.id,
    stream: record.stream,
    revision: record.revision,
    type: record.type,
    schemaVersion: eventUpcaster.currentVersion(record.type) ?? record.schema_version,
    data: eventUpcaster.upcast(record.type, record.schema_version, record.data),
    metadata: record.metadata,
    recordedAt: record.recorded_at,
  };
}
