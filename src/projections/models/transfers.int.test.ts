import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase } from '../../../test/support/database.js';
import type { TestDatabase } from '../../../test/support/database.js';
import { tellLog } from '../../../test/support/ledger-log.js';
import type { ToldEvent } from '../../../test/support/ledger-log.js';
import { projectToHead } from '../../../test/support/live-read-models.js';
import {
  blockConnected,
  blockDisconnected,
  chainOpened,
  deposit,
  hashNamed,
} from '../../../test/support/small-histories.js';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(async () => {
  await database.drop();
});

/** What the open rows of the one transfer and its coin say after each of these events. */
async function told(ledger: string, event: ToldEvent): Promise<Record<string, unknown>> {
  await tellLog(database.ownerPool, ledger, [event]);
  expect(await projectToHead(database.pool, ledger)).toEqual([]);
  const { rows } = await database.pool.query<Record<string, unknown>>(
    `SELECT t.first_height, t.block_height, t.conflict_height, t.conflict_txid, c.created_height, c.conflict_height AS coin_conflict
     FROM read_${ledger}.transfer t JOIN read_${ledger}.coin c ON t.id = 'IN:' || c.txid || ':' || c.vout
     WHERE t.to_position = 9223372036854775807 AND c.to_position = 9223372036854775807`,
  );
  expect(rows).toHaveLength(1);
  return rows[0] ?? {};
}

test('a transfer that lost its block, was double-spent, freed again by a second reorg, and confirmed lower', async () => {
  const conflict = {
    txid: hashNamed('transaction d'),
    byTxid: hashNamed('stranger'),
    outpoint: `${hashNamed('input of d')}:0`,
  };
  const found = deposit('d', 'alice', 700);
  await tellLog(database.ownerPool, 'conflict', [...chainOpened(), blockConnected(1, '1', '0')]);
  const nothing = { conflict_height: null, conflict_txid: null, coin_conflict: null };
  expect(await told('conflict', blockConnected(2, '2', '1', found))).toEqual({
    ...nothing,
    first_height: 2,
    block_height: 2,
    created_height: 2,
  });
  const orphaned = { ...nothing, first_height: 2, block_height: null, created_height: null };
  expect(await told('conflict', blockDisconnected(2, '2', '1', 3))).toEqual(orphaned);
  // Its input is spent by a transaction that does not concern us: impossible on this branch.
  expect(await told('conflict', blockConnected(2, '2b', '1', { conflicts: [conflict] }))).toEqual({
    ...orphaned,
    conflict_height: 2,
    conflict_txid: conflict.byTxid,
    coin_conflict: 2,
  });
  // The conflict goes with its block.
  expect(await told('conflict', blockDisconnected(2, '2b', '1', 5))).toEqual(orphaned);
  expect(await told('conflict', blockDisconnected(1, '1', '0', 2))).toEqual(orphaned);
  // In another block and lower than before: one transfer, its block is an attribute.
  expect(await told('conflict', blockConnected(1, '1c', '0', found))).toEqual({
    ...nothing,
    first_height: 1,
    block_height: 1,
    created_height: 1,
  });
  const { rows } = await database.pool.query<{ open: bigint }>(
    `SELECT (SELECT count(*) FROM read_conflict.orphan_tx WHERE to_position = 9223372036854775807)
          + (SELECT count(*) FROM read_conflict.orphan_input WHERE to_position = 9223372036854775807)
          + (SELECT count(*) FROM read_conflict.conflict WHERE to_position = 9223372036854775807) AS open`,
  );
  expect(rows).toEqual([{ open: 0n }]);
});
