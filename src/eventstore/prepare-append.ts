import type { Upcaster } from '../domain/events/upcast.js';
import { invariant } from '../platform/assert.js';
import {
  MAX_EVENTS_PER_APPEND,
  MAX_KEY_BYTES,
  MAX_METADATA_BYTES,
  MAX_OUTCOME_BYTES,
  MAX_STREAM_BYTES,
  MAX_TYPE_BYTES,
} from './append-limits.js';
import { checkStorableText, NotStorableError, toStorableJson } from './event-json.js';
import { EventTooLargeError, MAX_EVENT_BYTES, type AppendRequest, type NewEvent } from './event-store.js';

export interface PreparedEvent {
  id: string;
  type: string;
  schemaVersion: number;
  dataJson: string;
  metadataJson: string;
}

/** An append as it goes to the database: checked, as text, and with its size known. */
export interface PreparedAppend {
  stream: string;
  /** -1n: no stream yet. Null: a rejection, which is kept without an event. */
  expected: bigint | null;
  events: readonly PreparedEvent[];
  idempotency: { key: string; requestHash: string; outcomeJson: string } | undefined;
  bytes: number;
}

const UUID_PATTERN = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const HASH_PATTERN = /^[0-9a-f]{64}$/;
/** Columns beside the documents, roughly. */
const ROW_OVERHEAD_BYTES = 200;

/**
 * Checks an append and turns it into text, once, before it waits: what the caller changes later has no effect, and a bad append fails
 * alone and early.
 *
 * @throws EventTooLargeError for an event above MAX_EVENT_BYTES
 * @throws NotStorableError for what would not come back as it went in
 * @throws InvariantError for a malformed request
 */
export function prepareAppend(request: AppendRequest, upcaster: Upcaster): PreparedAppend {
  const { stream, expectedRevision, idempotency } = request;
  checkText(stream, 'stream', MAX_STREAM_BYTES);
  invariant(
    request.events.length > 0 || idempotency !== undefined,
    'an append without events must bring the outcome that it is to keep',
  );
  invariant(request.events.length <= MAX_EVENTS_PER_APPEND, `more than ${MAX_EVENTS_PER_APPEND} events in one append`);
  invariant(
    expectedRevision === 'no-stream' || expectedRevision >= 0n,
    'an expected revision is 0 or more, or no-stream',
  );

  const events = request.events.map((event) => prepareEvent(event, upcaster));
  const prepared = idempotency && prepareOutcome(idempotency);
  return {
    stream,
    expected: events.length === 0 ? null : expectedRevision === 'no-stream' ? -1n : expectedRevision,
    events,
    idempotency: prepared,
    bytes: events.reduce(
      // UTF-16 length: exact for ASCII, which nearly all of it is; this bounds memory, the exact limit is per event.
      (sum, { dataJson, metadataJson }) => sum + dataJson.length + metadataJson.length + ROW_OVERHEAD_BYTES,
      (prepared?.outcomeJson.length ?? 0) + ROW_OVERHEAD_BYTES,
    ),
  };
}

function prepareEvent(event: NewEvent, upcaster: Upcaster): PreparedEvent {
  const { id, type, schemaVersion } = event;
  invariant(UUID_PATTERN.test(id), `event id '${id}' is not a lower-case UUID`);
  checkText(type, 'type', MAX_TYPE_BYTES);
  // What this program could not read back would stop every reader for good.
  invariant(
    upcaster.currentVersion(type) === schemaVersion,
    `event ${type} must be written with schema version ${upcaster.currentVersion(type)}, not ${schemaVersion}`,
  );
  const dataJson = toStorableJson(event.data);
  if (isLonger(dataJson, MAX_EVENT_BYTES)) throw new EventTooLargeError(type, Buffer.byteLength(dataJson));
  const metadataJson = toStorableJson(event.metadata);
  if (isLonger(metadataJson, MAX_METADATA_BYTES)) {
    throw new NotStorableError('/metadata', `has more than ${MAX_METADATA_BYTES} bytes`);
  }
  return { id, type, schemaVersion, dataJson, metadataJson };
}

function prepareOutcome(idempotency: NonNullable<AppendRequest['idempotency']>): PreparedAppend['idempotency'] {
  const { key, requestHash } = idempotency;
  checkText(key, 'idempotency key', MAX_KEY_BYTES);
  invariant(HASH_PATTERN.test(requestHash), 'a request hash is 64 hex digits');
  const outcomeJson = toStorableJson(idempotency.outcome);
  if (isLonger(outcomeJson, MAX_OUTCOME_BYTES)) {
    throw new NotStorableError('/outcome', `has more than ${MAX_OUTCOME_BYTES} bytes`);
  }
  return { key, requestHash, outcomeJson };
}

/** At most three bytes of UTF-8 for each unit of UTF-16: what is short need not be counted. */
function isLonger(text: string, maxBytes: number): boolean {
  return text.length * 3 > maxBytes && Buffer.byteLength(text) > maxBytes;
}

/** As ids and keys nearly always are: then its length is its bytes. */
const PRINTABLE_ASCII = /^[\x20-\x7e]+$/;

function checkText(text: string, what: string, maxBytes: number): void {
  if (text.length <= maxBytes && PRINTABLE_ASCII.test(text)) return;
  checkStorableText(text, `/${what}`);
  const bytes = Buffer.byteLength(text);
  invariant(bytes >= 1 && bytes <= maxBytes, `${what} must have 1 to ${maxBytes} bytes`);
}
