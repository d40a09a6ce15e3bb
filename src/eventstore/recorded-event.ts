import type { Upcaster } from '../domain/events/upcast.js';
import { invariant } from '../platform/assert.js';
import type { EventMetadata, RecordedEvent } from './event-store.js';

/** Columns of `outbox` that make a `RecordedEvent`. */
export const EVENT_COLUMNS = 'position, id, stream, revision, type, schema_version, data, metadata, recorded_at';

export interface EventRow {
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

/** @throws UnknownEventVersionError for an event that a newer program wrote */
export function toRecordedEvent(row: EventRow, upcaster: Upcaster): RecordedEvent {
  return {
    position: row.position,
    id: row.id,
    stream: row.stream,
    revision: row.revision,
    type: row.type,
    schemaVersion: upcaster.currentVersion(row.type) ?? row.schema_version,
    data: upcaster.upcast(row.type, row.schema_version, row.data),
    metadata: row.metadata,
    recordedAt: row.recorded_at,
  };
}

/** Events read in one statement must be `first`, `first + 1` …: a hole is damage, never something to read over. */
export function assertConsecutive(
  events: readonly RecordedEvent[],
  first: bigint,
  by: 'position' | 'revision',
  where: string,
): void {
  let expected = first;
  for (const event of events) {
    invariant(event[by] === expected, `${where}: ${by} ${expected} is missing, found ${event[by]}`);
    expected += 1n;
  }
}
