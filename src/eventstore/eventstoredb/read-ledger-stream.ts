import type pg from 'pg';
import type { Upcaster } from '../../domain/events/upcast.js';
import { invariant } from '../../platform/assert.js';
import { RetryableError } from '../../platform/errors.js';
import type { RecordedEvent } from '../event-store.js';
import { queryRows } from '../query-rows.js';
import { assertConsecutive, toRecordedEvent } from '../recorded-event.js';
import type { EventStoreConnection } from './connection.js';
import type { StoredEvent } from './messages.js';
import type { RelayedWaiter } from './relayed-waiter.js';
import { decodeMetadata, FENCE_TYPE, type DecodedMetadata } from './stored-metadata.js';
import { readStoredEvents } from './stream-calls.js';
import { toStoredStream } from './stream-names.js';

/** Events of a stream at most in one read: 10,000 of usual size are 10 MB. */
const MAX_READ_LIMIT = 10_000;

const PLACES_SQL = `SELECT revision, position, recorded_at FROM outbox
  WHERE ledger = $1 AND stream = $2 AND revision BETWEEN $3 AND $4 ORDER BY revision`;

interface Place {
  revision: bigint;
  position: bigint;
  recorded_at: Date;
}

type LedgerEvent = StoredEvent & { decoded: DecodedMetadata };

/**
 * Events of a stream as EventStoreDB's leader has them, so that decisions are made on the newest; their places in the ledger's order are
 * from the outbox, and waited for where the relay has not got there yet.
 *
 * @throws RetryableError, FatalError
 */
export async function readLedgerStream(
  parts: {
    pool: pg.Pool;
    connection: EventStoreConnection;
    ledger: string;
    upcaster: Upcaster;
    waiter: RelayedWaiter;
    /** Of each call to EventStoreDB. */
    timeoutMs: number;
    statementTimeoutMs: number;
  },
  stream: string,
  fromRevision: bigint,
  limit: number,
): Promise<RecordedEvent[]> {
  invariant(fromRevision >= 0n, 'revisions begin at 0');
  invariant(
    Number.isInteger(limit) && limit >= 1 && limit <= MAX_READ_LIMIT,
    `a read is of 1 to ${MAX_READ_LIMIT} events`,
  );
  const { pool, ledger, upcaster, waiter } = parts;
  const events = await readEvents(parts, stream, fromRevision, limit);
  const last = events.at(-1);
  if (last === undefined) return [];
  const query = {
    name: 'read-places',
    text: PLACES_SQL,
    values: [ledger, stream, fromRevision, last.decoded.revision],
    query_timeout: parts.statementTimeoutMs,
  };
  const readPlaces = (): Promise<Place[]> => queryRows<Place>(pool, query, `read of stream ${stream}`);
  let places = await readPlaces();
  if (places.length < events.length) {
    await waiter.wait({ id: last.id, key: undefined });
    places = await readPlaces();
  }
  if (places.length !== events.length) throw new RetryableError(`stream ${stream} is not in the outbox yet`);
  const recorded = events.map((event, index) => toRecorded(event, stream, places[index], upcaster));
  assertConsecutive(recorded, fromRevision, 'revision', `stream ${stream}`);
  return recorded;
}

function toRecorded(event: LedgerEvent, stream: string, place: Place | undefined, upcaster: Upcaster): RecordedEvent {
  const { revision, schemaVersion, metadata } = event.decoded;
  invariant(place?.revision === revision, `stream ${stream}: revision ${revision} is not in the outbox`);
  return toRecordedEvent(
    {
      position: place.position,
      id: event.id,
      stream,
      revision,
      type: event.type,
      schema_version: schemaVersion,
      data: JSON.parse(Buffer.from(event.data).toString('utf8')) as unknown,
      metadata,
      recorded_at: place.recorded_at,
    },
    upcaster,
  );
}

/** EventStoreDB's revisions are never below ours: what is before the first that was asked for is passed over, as fences are. */
async function readEvents(
  { connection, ledger, timeoutMs }: { connection: EventStoreConnection; ledger: string; timeoutMs: number },
  stream: string,
  fromRevision: bigint,
  limit: number,
): Promise<LedgerEvent[]> {
  const events: LedgerEvent[] = [];
  let from = fromRevision;
  while (events.length < limit) {
    const count = limit - events.length;
    const page = await readStoredEvents(connection, { stream: toStoredStream(ledger, stream), from, count, timeoutMs });
    for (const event of page) {
      if (event.type === FENCE_TYPE) continue;
      const decoded = decodeMetadata(event.metadata);
      if (decoded.revision >= fromRevision) events.push({ ...event, decoded });
    }
    if (page.length < count) break;
    from += BigInt(page.length);
  }
  return events;
}
