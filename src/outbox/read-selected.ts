import type pg from 'pg';
import type { Upcaster } from '../domain/events/upcast.js';
import { queryRows } from '../eventstore/query-rows.js';
import { EVENT_COLUMNS, toRecordedEvent, type EventRow } from '../eventstore/recorded-event.js';
import { invariant } from '../platform/assert.js';
import { FatalError } from '../platform/errors.js';
import type { SelectedEvents } from './outbox.js';
import { MAX_PAGE_BYTES } from './read-page.js';

/** Positions that one read passes over: what the server reads for one statement, of usual events some 50 MB. */
const WINDOW_POSITIONS = 50_000;

/**
 * One statement, so one snapshot. `present` counts all events of the window, whatever their type: one too few is a hole. `selected` is
 * how many have one of the types; where fewer come back, the page was cut by its bytes, and ends at its last event.
 */
const READ_SELECTED_SQL = `SELECT h.position AS head, w.up_to, n.present, e.*
  FROM ledger_head h
  CROSS JOIN LATERAL (SELECT least($2::bigint + ${WINDOW_POSITIONS}, h.position) AS up_to) w
  CROSS JOIN LATERAL (
    SELECT count(*) AS present FROM outbox WHERE ledger = $1 AND position > $2 AND position <= w.up_to) n
  LEFT JOIN LATERAL (
    SELECT ${EVENT_COLUMNS}, selected FROM (
      SELECT ${EVENT_COLUMNS}, count(*) OVER () AS selected, row_number() OVER (ORDER BY position) AS nth,
        sum(pg_column_size(data) + pg_column_size(metadata)) OVER (ORDER BY position) AS bytes
      FROM outbox WHERE ledger = $1 AND position > $2 AND position <= w.up_to AND type = ANY($3::text[])
    ) sized WHERE bytes <= $4 OR nth = 1
  ) e ON true
  WHERE h.ledger = $1 ORDER BY e.position`;

type SelectedRow = { head: bigint; up_to: bigint; present: bigint } & (
  (EventRow & { selected: bigint }) | { [column in keyof EventRow | 'selected']: null }
);

/**
 * The next events of these types, from as many positions as fit one read.
 *
 * @throws FatalError where `afterPosition` is above the head: this is not the log that the caller followed
 * @throws InvariantError where the log has a hole
 * @throws RetryableError where the database is away
 */
export async function readSelected(
  pool: pg.Pool,
  ledger: string,
  upcaster: Upcaster,
  { afterPosition, types }: { afterPosition: bigint; types: readonly string[] },
): Promise<SelectedEvents> {
  const rows = await queryRows<SelectedRow>(
    pool,
    {
      name: 'read-outbox-of-types',
      text: READ_SELECTED_SQL,
      values: [ledger, afterPosition, types, MAX_PAGE_BYTES],
    },
    'read of the outbox by type',
  );
  const first = rows[0];
  const head = first?.head ?? 0n;
  if (afterPosition > head) {
    throw new FatalError(
      `asked for what follows position ${afterPosition}, but the log of ledger ${ledger} ends at ${head}`,
    );
  }
  if (first === undefined) return { events: [], upTo: 0n, head };
  invariant(
    first.present === first.up_to - afterPosition,
    `outbox of ledger ${ledger}: positions ${afterPosition + 1n} to ${first.up_to} have ${first.present} events`,
  );
  const found = rows.filter((row) => row.position !== null);
  const last = found.at(-1);
  const isCut = last !== undefined && BigInt(found.length) < last.selected;
  return {
    events: found.map((row) => toRecordedEvent(row, upcaster)),
    upTo: isCut ? last.position : first.up_to,
    head,
  };
}
