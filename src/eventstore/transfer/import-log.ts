import type pg from 'pg';
import { FatalError } from '../../platform/errors.js';
import { queryRows } from '../query-rows.js';
import type { EventLine, LogLine, RejectionLine } from './log-line.js';

/** Where imported events go. */
export interface ImportSink {
  /** Before anything is compared: what was written earlier is in the outbox after this. */
  prepare(): Promise<void>;
  /** Writes a page in its order; it is in the outbox when this returns. */
  write(events: readonly EventLine[]): Promise<void>;
}

export interface ImportProgress {
  /** Position up to which the log is imported. */
  position: bigint;
  /** Events that were there already: an import that was interrupted goes on. */
  skipped: number;
  rejections: number;
}

/** Events and bytes of a page: what an import costs in memory, a few times this. */
const PAGE_EVENTS = 1000;
const PAGE_BYTES = 4 * 1024 * 1024;

const IDS_SQL = `SELECT position, id FROM outbox WHERE ledger = $1 AND position > $2 ORDER BY position LIMIT ${PAGE_EVENTS}`;

/** As the ledger's order and times: what was decided first stays first. Again: the same outcome is the same. */
const REJECTIONS_SQL = `INSERT INTO command_outcome (ledger, key, request_hash, outcome, position, recorded_at)
  SELECT $1, key, decode(hash, 'hex'), outcome, NULL, recorded_at
  FROM unnest($2::text[], $3::text[], $4::json[], $5::timestamptz[]) AS r(key, hash, outcome, recorded_at)
  ON CONFLICT (ledger, key) DO NOTHING`;

/**
 * Imports an exported log into a ledger that is empty, or into which the same log was imported in part: order, ids, times and outcomes are
 * kept. Nothing else may write to the ledger meanwhile.
 *
 * @throws FatalError where the ledger holds something else, the log has a hole, or ends before what the ledger holds
 */
export async function importLog(options: {
  pool: pg.Pool;
  ledger: string;
  lines: AsyncIterable<LogLine>;
  sink: ImportSink;
  onProgress?: (progress: ImportProgress) => void;
}): Promise<ImportProgress> {
  const { pool, ledger, lines, sink, onProgress = () => undefined } = options;
  const progress: ImportProgress = { position: 0n, skipped: 0, rejections: 0 };
  await sink.prepare();
  const there = existingIds(pool, ledger);
  let page: EventLine[] = [];
  let bytes = 0;
  let rejections: RejectionLine[] = [];
  let expected = 1n;
  let isNew = false;

  async function flush(): Promise<void> {
    if (page.length > 0) await sink.write(page);
    progress.position = expected - 1n;
    page = [];
    bytes = 0;
    if (rejections.length > 0) await writeRejections(pool, ledger, rejections);
    progress.rejections += rejections.length;
    rejections = [];
    onProgress({ ...progress });
  }

  for await (const line of lines) {
    if (line.kind === 'rejection') {
      rejections.push(line);
      if (rejections.length >= PAGE_EVENTS) await flush();
      continue;
    }
    if (line.position !== expected) {
      throw new FatalError(`position ${expected} is missing from the log, found ${line.position}: import a whole log`);
    }
    expected += 1n;
    const present = isNew ? undefined : (await there.next()).value;
    if (present !== undefined) {
      if (present.id !== line.id) {
        throw new FatalError(
          `ledger ${ledger} is not empty: it holds another event at position ${line.position} (${present.id}, not ${line.id})`,
        );
      }
      progress.skipped += 1;
      if (progress.skipped % PAGE_EVENTS === 0) await flush();
      continue;
    }
    isNew = true;
    page.push(line);
    bytes += line.dataJson.length + line.metadataJson.length;
    if (page.length >= PAGE_EVENTS || bytes >= PAGE_BYTES) await flush();
  }
  const beyond = isNew ? undefined : (await there.next()).value;
  if (beyond !== undefined) {
    throw new FatalError(`ledger ${ledger} is not empty: it goes on after the log's end at position ${expected - 1n}`);
  }
  await flush();
  return progress;
}

async function* existingIds(
  pool: pg.Pool,
  ledger: string,
): AsyncGenerator<{ position: bigint; id: string }, undefined, void> {
  let position = 0n;
  for (;;) {
    const rows = await queryRows<{ position: bigint; id: string }>(
      pool,
      { name: 'import-ids', text: IDS_SQL, values: [ledger, position] },
      'read of the ledger',
    );
    for (const row of rows) {
      yield row;
      position = row.position;
    }
    if (rows.length < PAGE_EVENTS) return undefined;
  }
}

async function writeRejections(pool: pg.Pool, ledger: string, rejections: readonly RejectionLine[]): Promise<void> {
  await queryRows(
    pool,
    {
      name: 'import-rejections',
      text: REJECTIONS_SQL,
      values: [
        ledger,
        rejections.map(({ key }) => key),
        rejections.map(({ requestHash }) => requestHash),
        rejections.map(({ outcomeJson }) => outcomeJson),
        rejections.map(({ recordedAt }) => recordedAt.toISOString()),
      ],
    },
    'import of refused commands',
  );
}
