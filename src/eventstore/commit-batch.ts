import type pg from 'pg';
import { z } from 'zod';
import { invariant } from '../platform/assert.js';
import { mustFail, type ChainLink } from './append-chains.js';
import {
  byteaArray,
  int4Array,
  int8Array,
  jsonArray,
  jsonbArray,
  textArray,
  uuidArray,
} from '../platform/postgres/binary-array.js';
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
  /** True where at least one append was refused: the next batch had better be careful too. */
  refused: boolean;
}

const APPEND_SQL = `SELECT * FROM append_events(${Array.from({ length: 18 }, (_, n) => `$${n + 1}`).join(', ')})`;
/** Refuse in any case: no stream is ever at this revision. */
const REFUSE = -2n;

interface AppendEventsRow {
  /** Null: every append was accepted. */
  kinds: string | null;
  first_position: bigint;
  recorded_at: Date;
  details: unknown;
}

/** True where an append is bound to be refused: trying to insert them all first would be in vain. */
function isDoomed(batch: readonly BatchedAppend[]): boolean {
  return batch.some(({ link }) => link !== undefined && mustFail(link));
}

/**
 * Commits a batch in one statement, which is one transaction, one lock on the ledger's head and one fsync.
 *
 * @param options careful: refusals are expected, do not try to insert all of them first
 * @throws what the driver throws; then nothing was appended, or it is not known
 */
export async function commitBatch(
  pool: pg.Pool,
  ledger: string,
  batch: readonly BatchedAppend[],
  options: { timeoutMs: number; careful: boolean },
): Promise<BatchResult> {
  const query: pg.QueryConfig & { query_timeout: number } = {
    name: 'append-events',
    text: APPEND_SQL,
    values: [ledger, options.careful || isDoomed(batch), ...encodeBatch(batch)],
    query_timeout: options.timeoutMs,
  };
  const { rows } = await pool.query<AppendEventsRow>(query);
  const row = rows[0];
  invariant(row !== undefined, 'append_events answers one row');
  return decodeResult(batch, row);
}

function encodeBatch(batch: readonly BatchedAppend[]): Buffer[] {
  const streamNumbers = new Map<string, number>();
  const numbers = new Map<ChainLink, number>();
  const streamOf: number[] = [];
  const after: number[] = [];
  const expected: (bigint | null)[] = [];
  const last: number[] = [];
  const appendOf: number[] = [];
  const streams: string[] = [];
  const revisions: bigint[] = [];
  const events: PreparedEvent[] = [];
  batch.forEach(({ append, link }, index) => {
    if (link === undefined || append.expected === null) {
      streamOf.push(0);
      after.push(0);
      expected.push(null);
    } else {
      let stream = streamNumbers.get(append.stream);
      if (stream === undefined) streamNumbers.set(append.stream, (stream = streamNumbers.size + 1));
      streamOf.push(stream);
      numbers.set(link, index + 1);
      const waitsFor = link.after?.state === 'waiting' ? numbers.get(link.after) : 0;
      invariant(waitsFor !== undefined, 'an append must not overtake the one that it builds on');
      after.push(waitsFor);
      expected.push(mustFail(link) ? REFUSE : append.expected);
      let revision = append.expected;
      for (const event of append.events) {
        appendOf.push(index + 1);
        streams.push(append.stream);
        revisions.push(++revision);
        events.push(event);
      }
    }
    last.push(events.length);
  });
  return [
    int4Array(streamOf),
    int8Array(expected),
    int4Array(after),
    int4Array(last),
    int4Array(batch.map(({ append }) => append.events.length)),
    textArray(batch.map(({ append }) => append.idempotency?.key ?? null)),
    byteaArray(batch.map(({ append }) => append.idempotency?.requestHash ?? null)),
    jsonArray(batch.map(({ append }) => append.idempotency?.outcomeJson ?? null)),
    int4Array(appendOf),
    textArray(streams),
    int8Array(revisions),
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
  const details = decodeDetails(row);
  invariant(row.kinds === null || row.kinds.length === batch.length, 'append_events must answer every append');
  const events: CommittedEvent[] = [];
  let next = row.first_position;
  const results = batch.map(({ append }, index): AppendResult => {
    const kind = row.kinds?.[index] ?? (append.expected === null ? 'r' : 'a');
    if (kind !== 'a') return notAppended(append, kind, details.get(index + 1), row.recorded_at);
    let revision = append.expected ?? REFUSE;
    for (const event of append.events) {
      revision += 1n;
      // Field by field: 0.06 us; a spread with members added to it 7 us (Node 20, two million times each).
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
  return { results, events, refused: details.size > 0 };
}

function decodeDetails(row: AppendEventsRow): ReadonlyMap<number, Detail> {
  const parsed = detailsSchema.safeParse(row.details ?? []);
  invariant(parsed.success, `append_events answered in an unknown form: ${parsed.error?.message}`);
  return new Map(parsed.data.map((detail) => [detail.n, detail]));
}

function notAppended(append: PreparedAppend, kind: string, detail: Detail | undefined, recordedAt: Date): AppendResult {
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
