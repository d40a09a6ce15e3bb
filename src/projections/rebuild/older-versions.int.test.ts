import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Found } from '../../domain/events/chain-events.js';
import { createTestDatabase } from '../../../test/support/database.js';
import type { TestDatabase } from '../../../test/support/database.js';
import { tellLog } from '../../../test/support/ledger-log.js';
import type { ToldEvent } from '../../../test/support/ledger-log.js';
import { dumpTables, projectToHead } from '../../../test/support/live-read-models.js';
import {
  accountOpened,
  blockConnected,
  blockDisconnected,
  chainOpened,
  deposit,
  transferSent,
} from '../../../test/support/small-histories.js';
import { ALL_PROJECTIONS } from '../all-projections.js';
import { defineProjection } from '../projection.js';
import { quoted, readSchema } from '../tables/identifiers.js';
import { appendTable } from '../tables/table-definition.js';
import { rebuildProjections } from './rebuild-projections.js';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

/** The schema version before transfers of a block named the payout that they are part of. */
const FIRST_VERSIONS = { TransfersFound: 1, BlockConnected: 1 } as const;

/** Deposits to accounts, in one event and in parts, taken off and back again, and money that moves on. */
const HISTORY: ToldEvent[] = [
  ...chainOpened(1, 3),
  accountOpened('alice'),
  accountOpened('bob'),
  blockConnected(1, '1', '0', deposit('a', 'alice', 700)),
  transferSent('t1', 'alice', 'bob', 5),
  blockConnected(2, '2', '1', deposit('b', 'bob', 40)),
  blockDisconnected(2, '2', '1', 3),
  transferSent('t2', 'bob', 'alice', 2),
  inParts(deposit('b', 'bob', 40), deposit('c', 'alice', 9)),
  transferSent('t3', 'alice', 'alice', 1),
].flat();

/** Block 2b, whose first part is an event of its own. */
function inParts(first: Partial<Found>, last: Partial<Found>): ToldEvent[] {
  const block = blockConnected(2, '2b', '1', last);
  if (block.type !== 'BlockConnected') throw new Error('no block');
  const { network, hash } = block.data;
  const found: Found = { received: [], spent: [], funding: [], conflicts: [], ...first };
  return [
    { stream: block.stream, type: 'TransfersFound', data: { network, blockHash: hash, part: 0, found } },
    { ...block, data: { ...block.data, parts: 1 } },
  ];
}

/** As a program of the first version wrote it: no transfer of a block says of which payout it is part. */
function asFirstWritten(event: ToldEvent): ToldEvent {
  if (event.type !== 'BlockConnected' && event.type !== 'TransfersFound') return event;
  const { received, spent, ...found } = event.data.found;
  const without = (transfer: { payoutId: string | null }): object =>
    Object.fromEntries(Object.entries(transfer).filter(([name]) => name !== 'payoutId'));
  const old = { ...found, received: received.map(without), spent: spent.map(without) };
  return { ...event, data: { ...event.data, found: old } } as unknown as ToldEvent;
}

/** Says of a rebuild whether it filled tables in SQL: then there is a row, `apply` writes none. */
const probe = defineProjection({
  name: 'probe',
  version: 1,
  tables: {
    filled: appendTable<{ position: bigint }>({
      name: 'probe_filled',
      columns: { position: { type: 'bigint' } },
      key: ['position'],
      position: 'position',
    }),
  },
  load: () => Promise.resolve(),
  apply: () => undefined,
  bulk: {
    applies: 'false',
    tables: [
      {
        table: 'probe_filled',
        fill: async ({ client, schema, to }) => {
          await client.query(`INSERT INTO ${quoted(schema)}.probe_filled VALUES ($1)`, [to]);
        },
      },
    ],
  },
});

async function isFilledInSql(ledger: string): Promise<boolean> {
  const { pool } = database;
  await rebuildProjections({ pool, ledger, projections: [probe] });
  const { rows } = await pool.query(`SELECT FROM ${quoted(readSchema(ledger))}.probe_filled`);
  return rows.length > 0;
}

test('a log of the first block events is read in SQL as the present ones are, and gives the same rows', async () => {
  const { pool, ownerPool } = database;
  await tellLog(ownerPool, 'present', HISTORY);
  await tellLog(ownerPool, 'former', HISTORY.map(asFirstWritten), FIRST_VERSIONS);
  expect(await isFilledInSql('present')).toBe(true);
  expect(await isFilledInSql('former')).toBe(true);
  await projectToHead(pool, 'former');
  const live = await dumpTables(pool, readSchema('former'));
  expect(live['account_entry']).not.toEqual([]);
  await rebuildProjections({ pool, ledger: 'former', projections: ALL_PROJECTIONS });
  expect(await dumpTables(pool, readSchema('former')), 'rebuilt, row for row').toEqual(live);
});

test('events of a version that the program does not know are not read in SQL: the rebuild says so and changes nothing', async () => {
  const { ownerPool } = database;
  await tellLog(ownerPool, 'newer', HISTORY, { TransferSent: 99 });
  await expect(isFilledInSql('newer')).rejects.toThrow(/schema version 99/);
});
