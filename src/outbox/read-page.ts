import type pg from 'pg';
import type { Upcaster } from '../domain/events/upcast.js';
import { queryRows } from '../eventstore/query-rows.js';
import { assertConsecutive, EVENT_COLUMNS, toRecordedEvent, type EventRow } from '../eventstore/recorded-event.js';
import { invariant } from '../platform/assert.js';
import { FatalError } from '../platform/errors.js';
import type { FeedBatch } from './outbox.js';

/**
 * Bytes of documents in a page at most (but for a first event that is larger): what a page costs in memory, a few times this
 * as objects. Usual events are 0.5 KB, so it takes blocks full of transfers to reach it.
 */
export const MAX_PAGE_BYTES = 16 * 1024 * 1024;

/**
 * One statement, so one snapshot: what it shows of the order is complete up to the head that it shows. A check made of several
 * statements would see several moments.
 */
const READ_PAGE_SQL = `SELECT h.position AS head, e.* FROM ledger_head h LEFT JOIN LATERAL (
    SELECT ${EVENT_COLUMNS} FROM (
      SELECT ${EVENT_COLUMNS},
        sum(pg_column_size(data) + pg_column_size(metadata)) OVER (ORDER BY position) AS bytes
      FROM (SELECT ${EVENT_COLUMNS} FROM outbox
        WHERE ledger = $1 AND position > $2 ORDER BY position LIMIT $3) page
    ) sized WHERE bytes <= $4 OR position = $2::bigint + 1
  ) e ON true WHERE h.ledger = $1 ORDER BY e.position`;

type PageRow = { head: bigint } & (EventRow | { [column in keyof EventRow]: null });

/**
 * Events after a position, as many as fit both limits, with the ledger's head in the same snapshot. Empty only at the head.
 *
 * @throws FatalError where `afterPosition` is above the head: this is not the log that the caller followed
 * @throws InvariantError where the log has a hole
 * @throws RetryableError where the database is away
 */
export async function readPage(
  pool: pg.Pool,
  ledger: string,
  upcaster: Upcaster,
  page: { afterPosition: bigint; limit: number; maxBytes: number },
): Promise<FeedBatch> {
  const { afterPosition, limit, maxBytes } = page;
  const rows = await queryRows<PageRow>(
    pool,
    { name: 'read-outbox-page', text: READ_PAGE_SQL, values: [ledger, afterPosition, limit, maxBytes] },
    'read of the outbox',
  );
  const head = rows[0]?.head ?? 0n;
  if (afterPosition > head) {
    throw new FatalError(
      `asked for what follows position ${afterPosition}, but the log of ledger ${ledger} ends at ${head}`,
    );
  }
  const events = rows.filter((row) => row.position !== null).map((row) => toRecordedEvent(row, upcaster));
  assertConsecutive(events, afterPosition + 1n, 'position', `outbox of ledger ${ledger}`);
  invariant(
    events.length > 0 || afterPosition === head,
    `outbox of ledger ${ledger}: position ${afterPosition + 1n} is missing`,
  );
  return { events, head };
}
