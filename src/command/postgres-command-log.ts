import type pg from 'pg';
import type { Outbox } from '../outbox/outbox.js';
import { RetryableError } from '../platform/errors.js';
import type { CommandLog } from './ports.js';

/** By the unique index on the event's id. */
const EXISTING_SQL = 'SELECT id FROM outbox WHERE id = ANY($1::uuid[])';

/** The log for commands: the outbox's head, and whether events exist. */
export function createPostgresCommandLog(options: { pool: pg.Pool; outbox: Outbox }): CommandLog {
  const { pool, outbox } = options;
  return {
    head: () => outbox.head(),
    existingEvents: async (ids) => {
      try {
        const { rows } = await pool.query<{ id: string }>({
          name: 'existing-events',
          text: EXISTING_SQL,
          values: [ids],
        });
        return new Set(rows.map(({ id }) => id));
      } catch (error) {
        throw new RetryableError('look-up of events', {}, { cause: error });
      }
    },
  };
}
