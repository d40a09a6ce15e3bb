import type pg from 'pg';
import { invariant } from '../../platform/assert.js';
import { queryRows } from '../query-rows.js';
import type { EventLine, LogLine, RejectionLine } from './log-line.js';

/** Events per statement: a page of usual events is about 1 MB. */
const PAGE = 1000;

const EVENTS_SQL = `SELECT e.position, e.id, e.stream, e.revision, e.type, e.schema_version, e.data::text AS data,
    e.metadata::text AS metadata, e.recorded_at, o.key, encode(o.request_hash, 'hex') AS request_hash, o.outcome::text AS outcome
  FROM (SELECT * FROM outbox WHERE ledger = $1 AND position > $2 AND position <= $3 ORDER BY position LIMIT ${PAGE}) e
  LEFT JOIN command_outcome o
    ON o.ledger = $1 AND o.key = e.metadata ->> 'idempotencyKey' AND o.position = e.position
  ORDER BY e.position`;

/** Outcomes of commands whose events do not name their key. */
const UNNAMED_SQL = `SELECT o.position, o.key, encode(o.request_hash, 'hex') AS request_hash, o.outcome::text AS outcome
  FROM command_outcome o JOIN outbox e ON e.ledger = o.ledger AND e.position = o.position
  WHERE o.ledger = $1 AND o.position > $2 AND o.position <= $3 AND e.metadata ->> 'idempotencyKey' IS DISTINCT FROM o.key`;

const REJECTIONS_SQL = `SELECT key, encode(request_hash, 'hex') AS request_hash, outcome::text AS outcome, recorded_at
  FROM command_outcome WHERE ledger = $1 AND position IS NULL AND key > $2 COLLATE "C" ORDER BY key LIMIT ${PAGE}`;

interface EventRow {
  position: bigint;
  id: string;
  stream: string;
  revision: bigint;
  type: string;
  schema_version: number;
  data: string;
  metadata: string;
  recorded_at: Date;
  key: string | null;
  request_hash: string | null;
  outcome: string | null;
}

interface OutcomeRow {
  position: bigint;
  key: string;
  request_hash: string;
  outcome: string;
}

/**
 * The log as it stood when this began, after a position: events as they are stored, each with the outcome of its command; then the commands
 * that were refused, where the whole log was asked for.
 *
 * @throws RetryableError, FatalError
 */
export async function* readLog(
  pool: pg.Pool,
  ledger: string,
  afterPosition: bigint,
): AsyncGenerator<LogLine, void, void> {
  const [row] = await queryRows<{ position: bigint }>(
    pool,
    { name: 'log-head', text: 'SELECT position FROM ledger_head WHERE ledger = $1', values: [ledger] },
    'read of the head',
  );
  const head = row?.position ?? 0n;
  const unnamed = new Map<bigint, OutcomeRow>();
  const query = { name: 'log-unnamed', text: UNNAMED_SQL, values: [ledger, afterPosition, head] };
  for (const outcome of await queryRows<OutcomeRow>(pool, query, 'read of outcomes'))
    unnamed.set(outcome.position, outcome);
  let position = afterPosition;
  while (position < head) {
    const rows = await queryRows<EventRow>(
      pool,
      { name: 'log-events', text: EVENTS_SQL, values: [ledger, position, head] },
      'read of the log',
    );
    for (const event of rows) {
      position += 1n;
      invariant(event.position === position, `position ${position} is missing, found ${event.position}`);
      yield toEventLine(event, unnamed.get(position));
    }
    invariant(rows.length > 0, `the log ends at ${position}, not at ${head}`);
  }
  if (afterPosition === 0n) yield* readRejections(pool, ledger);
}

function toEventLine(row: EventRow, unnamed: OutcomeRow | undefined): EventLine {
  const { key, request_hash: requestHash, outcome: outcomeJson } = row.key === null && unnamed ? unnamed : row;
  return {
    kind: 'event',
    position: row.position,
    id: row.id,
    stream: row.stream,
    revision: row.revision,
    type: row.type,
    schemaVersion: row.schema_version,
    dataJson: row.data,
    metadataJson: row.metadata,
    recordedAt: row.recorded_at,
    outcome:
      key === null || requestHash === null || outcomeJson === null ? undefined : { key, requestHash, outcomeJson },
  };
}

async function* readRejections(pool: pg.Pool, ledger: string): AsyncGenerator<RejectionLine, void, void> {
  let after = '';
  for (;;) {
    const rows = await queryRows<{ key: string; request_hash: string; outcome: string; recorded_at: Date }>(
      pool,
      { name: 'log-rejections', text: REJECTIONS_SQL, values: [ledger, after] },
      'read of refused commands',
    );
    for (const { key, request_hash: requestHash, outcome: outcomeJson, recorded_at: recordedAt } of rows) {
      yield { kind: 'rejection', key, requestHash, outcomeJson, recordedAt };
      after = key;
    }
    if (rows.length < PAGE) return;
  }
}
