import { defineProjection } from '../projection.js';
import type { Handles, ProjectedEvent } from '../projection.js';
import { quoted } from '../tables/identifiers.js';
import { appendTable } from '../tables/table-definition.js';

export interface LogRow {
  position: bigint;
  type: string;
  stream: string;
  recorded_at: Date;
}

const tables = {
  log: appendTable<LogRow>({
    name: 'log',
    columns: {
      position: { type: 'bigint' },
      type: { type: 'text', plain: true },
      stream: { type: 'text' },
      recorded_at: { type: 'timestamptz' },
    },
    key: ['position'],
    position: 'position',
    indexes: ['type, position', 'stream, position'],
  }),
};

/** The events as a list that can be filtered; their data stays in the outbox. Times have milliseconds, as everywhere. */
export const log = defineProjection({
  name: 'log',
  version: 1,
  tables,
  load: () => Promise.resolve(),
  apply: (event: ProjectedEvent, handles: Handles<typeof tables>) => {
    const { position, type, stream, recordedAt } = event;
    handles.log.append({ position, type, stream, recorded_at: recordedAt });
  },
  bulk: {
    applies: 'false',
    tables: [
      {
        table: 'log',
        fill: async ({ client, ledger, to, schema }) => {
          await client.query(
            `INSERT INTO ${quoted(schema)}.log SELECT position, type, stream, date_trunc('milliseconds', recorded_at)
             FROM outbox WHERE ledger = $1 AND position <= $2 ORDER BY position`,
            [ledger, to],
          );
        },
      },
    ],
  },
});
