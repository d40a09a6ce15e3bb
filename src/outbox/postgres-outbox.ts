import type pg from 'pg';
import { eventUpcaster, type Upcaster } from '../domain/events/upcast.js';
import { queryRows } from '../eventstore/query-rows.js';
import { invariant } from '../platform/assert.js';
import type { Outbox } from './outbox.js';
import { MAX_PAGE_BYTES, readPage } from './read-page.js';
import { readSelected } from './read-selected.js';

export interface PostgresOutboxOptions {
  /** Its `int8` must come as bigint. */
  pool: pg.Pool;
  ledger: string;
  upcaster?: Upcaster;
}

/** Events in one page at most. Larger pages gain nothing: at 5,000 the round trip is 1 % of the time. */
export const MAX_PAGE_EVENTS = 10_000;

const HEAD_SQL = 'SELECT position FROM ledger_head WHERE ledger = $1';
const POSITION_AT_SQL =
  "SELECT position_at($1, timestamptz 'epoch' + $2::bigint * interval '1 millisecond') AS position";

/** The table `outbox`, read in the ledger's order. */
export function createPostgresOutbox(options: PostgresOutboxOptions): Outbox {
  const { pool, ledger, upcaster = eventUpcaster } = options;
  return {
    async head() {
      const query = { name: 'outbox-head', text: HEAD_SQL, values: [ledger] };
      const [row] = await queryRows<{ position: bigint }>(pool, query, 'read of the head');
      return row?.position ?? 0n;
    },

    async read(afterPosition, limit) {
      invariant(afterPosition >= 0n, 'positions begin at 1');
      invariant(
        Number.isInteger(limit) && limit >= 1 && limit <= MAX_PAGE_EVENTS,
        `a page is 1 to ${MAX_PAGE_EVENTS} events`,
      );
      return (await readPage(pool, ledger, upcaster, { afterPosition, limit, maxBytes: MAX_PAGE_BYTES })).events;
    },

    readOfTypes: (afterPosition, types) => readSelected(pool, ledger, upcaster, { afterPosition, types }),

    async positionAt(time) {
      // As a number: RFC 3339 has a year 0 that PostgreSQL cannot read.
      const query = { name: 'position-at', text: POSITION_AT_SQL, values: [ledger, time.getTime()] };
      const [row] = await queryRows<{ position: bigint }>(pool, query, `position at ${time.toISOString()}`);
      invariant(row !== undefined, 'position_at answers one row');
      return row.position;
    },
  };
}
