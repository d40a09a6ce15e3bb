import type pg from 'pg';
import { eventUpcaster } from '../domain/events/upcast.js';
import type { Outbox } from '../outbox/outbox.js';
import { RetryableError } from '../platform/errors.js';
import type { CommandLog } from './ports.js';
import { createSharedClaims } from './shared-claims.js';

/** By the unique index on the event's id. Ids are made of the ledger's name, so none is of another ledger. */
const POSITIONS_SQL = 'SELECT id, position FROM outbox WHERE id = ANY($1::uuid[])';

const DATA_SQL = 'SELECT id, type, schema_version, data FROM outbox WHERE id = ANY($1::uuid[])';

interface DataRow {
  id: string;
  type: string;
  schema_version: number;
  data: unknown;
}

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
  const findData = async (ids: readonly string[]): Promise<DataRow[]> => {
    try {
      return (await pool.query<DataRow>({ name: 'event-data', text: DATA_SQL, values: [ids] })).rows;
    } catch (error) {
      throw new RetryableError('look-up of events', {}, { cause: error });
    }
  };
  return {
    head: () => outbox.head(),
    exclusively: createSharedClaims(pool),
    existingEvents: async (ids) => new Set((await positionsOf(ids)).keys()),
    findEvent: async (id) => {
      const position = (await positionsOf([id])).get(id);
      if (position === undefined) return undefined;
      const [event] = await outbox.read(position - 1n, 1);
      return event;
    },
    findData: async (ids) =>
      new Map(
        (await findData(ids)).map(({ id, type, schema_version, data }) => [
          id,
          { type, data: eventUpcaster.upcast(type, schema_version, data) },
        ]),
      ),
  };
}
