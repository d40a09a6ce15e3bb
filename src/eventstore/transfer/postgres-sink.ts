import type pg from 'pg';
import {
  byteaArray,
  int4Array,
  int8Array,
  jsonArray,
  jsonbArray,
  textArray,
  uuidArray,
} from '../../platform/postgres/binary-array.js';
import { queryRows } from '../query-rows.js';
import type { ImportSink } from './import-log.js';
import type { EventLine } from './log-line.js';

/** One statement, so one transaction. The table's triggers check the order. */
const WRITE_SQL = `WITH events AS (
    INSERT INTO outbox (ledger, position, id, stream, revision, type, schema_version, data, metadata, recorded_at, traceparent)
    SELECT $1, position, id, stream, revision, type, version, data, metadata,
           timestamptz 'epoch' + recorded * interval '1 millisecond', metadata ->> 'traceparent'
    FROM unnest($2::bigint[], $3::uuid[], $4::text[], $5::bigint[], $6::text[], $7::int[], $8::jsonb[], $9::jsonb[], $10::bigint[])
      AS e(position, id, stream, revision, type, version, data, metadata, recorded)
  )
  INSERT INTO command_outcome (ledger, key, request_hash, outcome, position, recorded_at)
  SELECT $1, key, hash, outcome, position, timestamptz 'epoch' + recorded * interval '1 millisecond'
  FROM unnest($11::text[], $12::bytea[], $13::json[], $14::bigint[], $15::bigint[]) AS o(key, hash, outcome, position, recorded)`;

/** Imports into PostgreSQL's own event store, where the outbox row is the event. */
export function createPostgresSink(pool: pg.Pool, ledger: string): ImportSink {
  return {
    prepare: () => Promise.resolve(),
    async write(events) {
      const last = events.flatMap(({ outcome, position, recordedAt }) =>
        outcome === undefined ? [] : [{ ...outcome, position, recordedAt }],
      );
      const ms = ({ recordedAt }: Pick<EventLine, 'recordedAt'>): bigint => BigInt(recordedAt.getTime());
      await queryRows(
        pool,
        {
          name: 'import-events',
          text: WRITE_SQL,
          values: [
            ledger,
            int8Array(events.map(({ position }) => position)),
            uuidArray(events.map(({ id }) => id)),
            textArray(events.map(({ stream }) => stream)),
            int8Array(events.map(({ revision }) => revision)),
            textArray(events.map(({ type }) => type)),
            int4Array(events.map(({ schemaVersion }) => schemaVersion)),
            jsonbArray(events.map(({ dataJson }) => dataJson)),
            jsonbArray(events.map(({ metadataJson }) => metadataJson)),
            int8Array(events.map(ms)),
            textArray(last.map(({ key }) => key)),
            byteaArray(last.map(({ requestHash }) => requestHash)),
            jsonArray(last.map(({ outcomeJson }) => outcomeJson)),
            int8Array(last.map(({ position }) => position)),
            int8Array(last.map(ms)),
          ],
        },
        'import of events',
      );
    },
  };
}
