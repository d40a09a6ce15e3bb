import type pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import { eventUpcaster } from '../../domain/events/upcast.js';
import { LEDGER_PATTERN } from '../../domain/primitives.js';
import type { RecordedEvent } from '../../eventstore/event-store.js';
import { invariant } from '../../platform/assert.js';

const NEWLINE = 10;

/**
 * The log from `after` (exclusive) to `to`, in pages as they come off the wire: COPY costs the server and us about half of what
 * a query does. Ids and metadata are left out; projections do not use them. Asserts that no position is missing.
 *
 * @param condition SQL condition on rows of the outbox. With one, the caller has made sure that no position is missing
 */
export async function* streamLog(
  client: pg.ClientBase,
  ledger: string,
  after: bigint,
  to: bigint,
  condition?: string,
): AsyncGenerator<RecordedEvent[]> {
  invariant(LEDGER_PATTERN.test(ledger), `ledger ${JSON.stringify(ledger)} is not a valid name`);
  const sql =
    `COPY (SELECT position, stream, revision, type, schema_version, (extract(epoch FROM recorded_at) * 1000)::bigint, data ` +
    `FROM outbox WHERE ledger = '${ledger}' AND position > ${after} AND position <= ${to}${condition === undefined ? '' : ` AND (${condition})`} ORDER BY position) TO STDOUT`;
  let last = after;
  const isWhole = condition === undefined;
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of client.query(copyTo(sql))) {
    const bytes = rest.length === 0 ? (chunk as Buffer) : Buffer.concat([rest, chunk as Buffer]);
    const end = bytes.lastIndexOf(NEWLINE) + 1;
    rest = bytes.subarray(end);
    if (end === 0) continue;
    const events = parseLines(bytes.toString('utf8', 0, end), last, isWhole);
    last = events.at(-1)?.position ?? last;
    yield events;
  }
  invariant(rest.length === 0, 'the log ended in the middle of a line');
  invariant(!isWhole || last === to, `ledger ${ledger}: position ${last + 1n} is missing`);
}

function parseLines(text: string, after: bigint, isWhole: boolean): RecordedEvent[] {
  const events: RecordedEvent[] = [];
  let last = after;
  for (let start = 0; start < text.length;) {
    const end = text.indexOf('\n', start);
    const event = parseLine(text, start, end);
    const { position } = event;
    invariant(isWhole ? position === last + 1n : position > last, `position ${last + 1n} is missing, got ${position}`);
    events.push(event);
    last = position;
    start = end + 1;
  }
  return events;
}

function parseLine(text: string, start: number, end: number): RecordedEvent {
  let at = start;
  const field = (): string => {
    const stop = text.indexOf('\t', at);
    const value = text.slice(at, stop);
    at = stop + 1;
    return value;
  };
  const position = BigInt(field());
  const stream = unescaped(field());
  const revision = BigInt(field());
  const type = field();
  const schemaVersion = Number(field());
  const recordedAt = new Date(Number(field()));
  const data: unknown = JSON.parse(unescaped(text.slice(at, end)));
  return {
    position,
    id: '',
    stream,
    revision,
    type,
    schemaVersion: eventUpcaster.currentVersion(type) ?? schemaVersion,
    data: eventUpcaster.upcast(type, schemaVersion, data),
    metadata: {},
    recordedAt,
  };
}

const ESCAPES: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

/** Undoes COPY's escapes. JSON has them rarely: only where a string holds a backslash or a quote. */
function unescaped(text: string): string {
  if (!text.includes('\\')) return text;
  return text.replace(/\\(.)/gs, (_, character: string) => ESCAPES[character] ?? character);
}
