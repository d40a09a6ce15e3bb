import type pg from 'pg';
import type { Outbox } from '../outbox/outbox.js';
import { RetryableError } from '../platform/errors.js';
import type { CommandLog } from './ports.js';

/** By the unique index on the event's id. Ids are made of the ledger's name, so none is of another ledger. */
const POSITIONS_SQL = 'SELECT id, position FROM outbox WHERE id = ANY($1::uuid[])';

/** The log for commands: the outbox's head, and whether events exist. */
export function createPostgresCommandLog(options: { pool: pg.Pool; outbox: Outbox }): CommandLog {
  const { pool, outbox } = options;
  const positionsOf = async (ids: readonly string[]): Promise<Map<string, bigint>> => {
    try {
      const { rows } = await pool.query<{ id: string; position: bigint }>({
        name: 'event-positions',
        text: POSITIONS_SQL,
        values: [ids],
      });
      return new Map(rows.map(({ id, position }) => [id, position]));
    } catch (error) {
      throw new RetryableError('look-up of events', {}, { cause: error });
    }
  };
  return {
    head: () => outbox.head(),
    existingEvents: async (ids) => new Set((await positionsOf(ids)).keys()),
    findEvent: async (id) => {
      const position = (await positionsOf([id])).get(id);
      if (position === undefined) return undefined;
      const [event] = await outbox.read(position - 1n, 1);
      return event;
    },
  };
}
