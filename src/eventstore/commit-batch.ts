import type pg from 'pg';
import { z } from 'zod';
import { invariant } from '../platform/assert.js';
import { mustFail, type ChainLink } from './append-chains.js';
import { byteaArray, int4Array, int8Array, jsonArray, jsonbArray, textArray, uuidArray } from './binary-array.js';
import type { AppendResult, ExpectedRevision } from './event-store.js';
import type { PreparedAppend, PreparedEvent } from './prepare-append.js';

export interface BatchedAppend {
  append: PreparedAppend;
  /** Undefined for a rejection, which builds on nothing. */
  link: ChainLink | undefined;
}

export interface CommittedEvent extends PreparedEvent {
  position: bigint;
  stream: string;
  revision: bigint;
  recordedAt: Date;
}

export interface BatchResult {
  /** One per append, in their order. */
  results: AppendResult[];
  /** What was appended, in order of position. */
  events: CommittedEvent[];
}

const APPEND_SQL = 'SELECT * FROM append_events($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)';
/** Refuse in any case: no stream is ever at this revision. */
const REFUSE = -2n;

interface AppendEventsRow {
  kinds: string;
  first_position: bigint;
  recorded_at: Date;
  details: unknown;
}

/**
 * Commits a batch in one statement, which is one transaction, one lock on the ledger's head and one fsync.
 *
 * @throws what the driver throws; then nothing was appended, or it is not known
 */
export async function commitBatch(
  pool: pg.Pool,
  ledger: string,
  batch: readonly BatchedAppend[],
  timeoutMs: number,
): Promise<BatchResult> {
  const query: pg.QueryConfig & { query_timeout: number } = {
    name: 'append-events',
    text: APPEND_SQL,
    values: [ledger, ...encodeBatch(batch)],
    query_timeout: timeoutMs,
  };
  const { rows } = await pool.query<AppendEventsRow>(query);
  const row = rows[0];
  invariant(row?.kinds.length === batch.length, 'append_events must answer every append');
  return decodeResult(batch, row);
}

function encodeBatch(batch: readonly BatchedAppend[]): Buffer[] {
  const streams = new Map<string, number>();
  const numbers = new Map<ChainLink, number>();
  const streamOf: number[] = [];
  const after: number[] = [];
  const expected: (bigint | null)[] = [];
  const appendOf: number[] = [];
  const events: PreparedEvent[] = [];
  batch.forEach(({ append, link }, index) => {
    let stream = streams.get(append.stream);
    if (stream === undefined) streams.set(append.stream, (stream = streams.size + 1));
    streamOf.push(stream);
    if (link === undefined) {
      after.push(0);
      expected.push(null);
    } else {
      numbers.set(link, index + 1);
      const waitsFor = link.after?.state === 'waiting' ? numbers.get(link.after) : 0;
      invariant(waitsFor !== undefined, 'an append must not overtake the one that it builds on');
      after.push(waitsFor);
      expected.push(mustFail(link) ? REFUSE : append.expected);
    }
    for (const event of append.events) {
      appendOf.push(index + 1);
      events.push(event);
    }
  });
  return [
    textArray([...streams.keys()]),
    int4Array(streamOf),
    int8Array(expected),
    int4Array(after),
    int4Array(batch.map(({ append }) => append.events.length)),
    textArray(batch.map(({ append }) => append.idempotency?.key ?? null)),
    byteaArray(batch.map(({ append }) => append.idempotency?.requestHash ?? null)),
    jsonArray(batch.map(({ append }) => append.idempotency?.outcomeJson ?? null)),
    int4Array(appendOf),
    uuidArray(events.map(({ id }) => id)),
    textArray(events.map(({ type }) => type)),
    int4Array(events.map(({ schemaVersion }) => schemaVersion)),
    jsonbArray(events.map(({ dataJson }) => dataJson)),
    jsonbArray(events.map(({ metadataJson }) => metadataJson)),
  ];
}

const positionText = z.string().transform(BigInt);
const detailsSchema = z.array(
  z.object({
    n: z.number(),
    actual: positionText.optional(),
    requestHash: z.string().optional(),
    outcome: z.unknown().optional(),
    position: positionText.nullable().optional(),
    recordedAt: z.number().optional(),
  }),
);
type Detail = z.infer<typeof detailsSchema>[number];

function decodeResult(batch: readonly BatchedAppend[], row: AppendEventsRow): BatchResult {
  invariant(typeof row.first_position === 'bigint', 'the pool must parse int8 as bigint');
  const parsed = detailsSchema.safeParse(row.details);
  invariant(parsed.success, `append_events answered in an unknown form: ${parsed.error?.message}`);
  const details = new Map(parsed.data.map((detail) => [detail.n, detail]));
  const events: CommittedEvent[] = [];
  let next = row.first_position;
  const results = batch.map(({ append }, index): AppendResult => {
    if (row.kinds[index] !== 'a') return notAppended(append, row.kinds[index], details.get(index + 1), row.recorded_at);
    let revision = append.expected ?? REFUSE;
    for (const event of append.events) {
      revision += 1n;
      // Field by field: a spread costs 2 us, this 0.05.
      events.push({
        position: next,
        id: event.id,
        stream: append.stream,
        revision,
        type: event.type,
        schemaVersion: event.schemaVersion,
        dataJson: event.dataJson,
        metadataJson: event.metadataJson,
        recordedAt: row.recorded_at,
      });
      next += 1n;
    }
    return { kind: 'appended', position: next - 1n, revision, recordedAt: row.recorded_at, alreadyThere: false };
  });
  return { results, events };
}

function notAppended(
  append: PreparedAppend,
  kind: string | undefined,
  detail: Detail | undefined,
  recordedAt: Date,
): AppendResult {
  if (kind === 'r') return { kind: 'appended', position: null, revision: null, recordedAt, alreadyThere: false };
  invariant(detail !== undefined, `append_events gave no details for '${kind}'`);
  if (kind === 'w' && detail.actual !== undefined) {
    return { kind: 'wrong-expected-revision', actual: toExpectedRevision(detail.actual) };
  }
  if (kind === 'k' && detail.requestHash !== undefined) {
    const { requestHash, outcome, position = null } = detail;
    return { kind: 'key-used', stored: { requestHash, outcome, position } };
  }
  invariant(
    kind === 't' && typeof detail.position === 'bigint' && detail.recordedAt !== undefined && append.expected !== null,
    `append_events gave details that do not fit '${kind}'`,
  );
  return {
    kind: 'appended',
    position: detail.position,
    revision: append.expected + BigInt(append.events.length),
    recordedAt: new Date(detail.recordedAt),
    alreadyThere: true,
  };
}

function toExpectedRevision(revision: bigint): ExpectedRevision {
  return revision < 0n ? 'no-stream' : revision;
}
