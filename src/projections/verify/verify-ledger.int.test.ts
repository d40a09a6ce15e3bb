import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createTestDatabase } from '../../../test/support/database.js';
import type { TestDatabase } from '../../../test/support/database.js';
import { tellLog } from '../../../test/support/ledger-log.js';
import { projectToHead } from '../../../test/support/live-read-models.js';
import * as told from '../../../test/support/payout-events.js';
import {
  accountOpened,
  blockConnected,
  blockDisconnected,
  chainOpened,
  deposit,
  hashNamed,
  transferSent,
} from '../../../test/support/small-histories.js';
import { ALL_PROJECTIONS } from '../all-projections.js';
import { rebuildProjections } from '../rebuild/rebuild-projections.js';
import { quoted } from '../tables/identifiers.js';
import { keyColumns, physicalColumns } from '../tables/table-definition.js';
import type { PhysicalColumn, TableDefinition } from '../tables/table-definition.js';
import { verifyLedger } from './verify-ledger.js';
import type { VerifyReport } from './verify-ledger.js';

const LEDGER = 'checked';
const TABLES = ALL_PROJECTIONS.flatMap(({ tables }) => tables);

let database: TestDatabase;

const paid = deposit('d', 'alice', 700);
const taken = {
  spent: (paid.received ?? []).map(({ txid, vout, amountSats, script, address, walletId, accountId }) => ({
    txid: hashNamed('thief'),
    vin: 0,
    prevTxid: txid,
    prevVout: vout,
    amountSats,
    script,
    address,
    walletId,
    accountId,
    payoutId: null,
  })),
};

const ASKED = { id: 'wd', account: 'bob', amount: 20 };
const PAYMENT: told.Payment = {
  payoutId: 'p',
  candidate: 0,
  txid: hashNamed('payment'),
  inputs: [{ outpoint: `${hashNamed('transaction d')}:0`, amount: 700 }],
  pays: [ASKED],
  change: 670,
  fee: 10,
};

/**
 * Something in every table: a deposit, a coinbase, a spend, a transfer, a reorg with an orphan and its conflict, and a payout whose
 * coin somebody else has spent.
 */
const HISTORY = [
  ...chainOpened(1, 3),
  accountOpened('alice'),
  accountOpened('bob'),
  {
    stream: 'wallet-w',
    type: 'WalletCreated' as const,
    data: {
      walletId: 'w',
      network: 'regtest' as const,
      descriptor: null,
      changeDescriptor: null,
      gapLimit: 20,
      signer: 'none' as const,
    },
  },
  {
    stream: 'wallet-w',
    type: 'ScriptWatched' as const,
    data: { walletId: 'w', accountId: 'alice', script: '0014aa', address: null },
  },
  blockConnected(1, '1', '0', paid),
  blockConnected(2, '2', '1', deposit('coinbase', 'bob', 5000, true)),
  transferSent('t', 'alice', 'bob', 5),
  blockConnected(3, '3', '2', deposit('lost', 'bob', 40)),
  blockDisconnected(3, '3', '2', 4),
  told.fundsReserved(ASKED),
  told.payoutStarted('p', [ASKED], { completeAt: 1, finalAt: 3 }),
  told.coinsReserved('p', PAYMENT.inputs),
  told.candidatePrepared(PAYMENT),
  told.candidateSigned(PAYMENT),
  blockConnected(3, '3b', '2', {
    ...taken,
    conflicts: [
      {
        txid: hashNamed('transaction lost'),
        byTxid: hashNamed('stranger'),
        outpoint: `${hashNamed('input of lost')}:0`,
      },
    ],
  }),
];

beforeAll(async () => {
  database = await createTestDatabase();
  await tellLog(database.ownerPool, LEDGER, HISTORY);
});
afterAll(async () => {
  await database.drop();
});
beforeEach(async () => {
  await rebuildProjections({ pool: database.pool, ledger: LEDGER, projections: ALL_PROJECTIONS });
});

function verify(ledger = LEDGER): Promise<VerifyReport> {
  return verifyLedger({ pool: database.pool, ledger, projections: ALL_PROJECTIONS });
}

test('a ledger as it should be has no mismatch, and the comparison has seen every table', async () => {
  expect(await verify()).toEqual({
    position: BigInt(HISTORY.length),
    tables: TABLES.length,
    mismatches: [],
    total: 0,
  });
  for (const { name } of TABLES) {
    const { rows } = await database.pool.query<{ n: bigint }>(`SELECT count(*) AS n FROM read_checked.${quoted(name)}`);
    expect(rows[0]?.n, `rows of ${name}`).toBeGreaterThan(0n);
  }
});

/** SQL that makes another value of a column's type. */
function otherValue(column: PhysicalColumn): string {
  const name = quoted(column.name);
  switch (column.type) {
    case 'int':
    case 'bigint':
    case 'numeric':
      return `coalesce(${name}, 0) + 1`;
    case 'text':
      return `coalesce(${name}, '') || 'x'`;
    case 'boolean':
      return `NOT ${name}`;
    case 'timestamptz':
      return `${name} + interval '1 second'`;
    case 'jsonb':
      return `'{"other":1}'`;
    case 'text[]':
      return `array_append(${name}, 'x')`;
  }
}

function firstValueColumn(table: TableDefinition): PhysicalColumn | undefined {
  const keys = keyColumns(table).map(({ name }) => name);
  return physicalColumns(table).find(({ name }) => !keys.includes(name));
}

test('one changed row in every table: each is named, with what is stored and what the log says', async () => {
  for (const table of TABLES) {
    const column = firstValueColumn(table);
    // A table that is all key can only gain or lose rows, or end them at another time.
    const change =
      column === undefined ? 'to_position = from_position + 1' : `${quoted(column.name)} = ${otherValue(column)}`;
    const target = `read_checked.${quoted(table.name)}`;
    await database.pool.query(`UPDATE ${target} SET ${change} WHERE ctid = (SELECT min(ctid) FROM ${target})`);
  }
  const inTables = (await verify()).mismatches.filter(({ kind }) => kind === 'table');
  expect(inTables.map(({ where }) => where).sort()).toEqual(TABLES.map(({ name }) => name).sort());
  for (const { where, stored, expected } of inTables) {
    expect(stored, where).toEqual(expect.any(String));
    expect(expected, where).toEqual(expect.any(String));
    expect(stored, where).not.toBe(expected);
  }
});

test('one lost row in every table: each is named', async () => {
  for (const { name } of TABLES) {
    const target = `read_checked.${quoted(name)}`;
    await database.pool.query(`DELETE FROM ${target} WHERE ctid = (SELECT max(ctid) FROM ${target})`);
  }
  const inTables = (await verify()).mismatches.filter(({ kind }) => kind === 'table');
  expect(inTables.map(({ where }) => where).sort()).toEqual(TABLES.map(({ name }) => name).sort());
  expect(inTables.every(({ stored, expected }) => stored === null && expected !== null)).toBe(true);
});

test('a table that is gone, or lacks a column, is named, and the others are compared all the same', async () => {
  const { ownerPool } = database;
  await ownerPool.query('DROP TABLE read_checked.account_books');
  await ownerPool.query('ALTER TABLE read_checked.coin DROP COLUMN amount_sats');
  await ownerPool.query(`UPDATE read_checked.account SET metadata = '{"a":1}' WHERE account_id = 'alice'`);
  const { mismatches, tables } = await verify();
  expect(tables).toBe(TABLES.length);
  expect(mismatches).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ kind: 'table', where: 'account_books', key: 'as a whole' }),
      expect.objectContaining({ kind: 'table', where: 'coin', key: 'as a whole' }),
      expect.objectContaining({ kind: 'table', where: 'account', key: expect.stringContaining('alice') as string }),
    ]),
  );
});

test('money that is in one table and not in another is told as such', async () => {
  await database.pool.query(
    `UPDATE read_checked.coin SET amount_sats = amount_sats + 1 WHERE spent_height IS NULL AND created_height IS NOT NULL`,
  );
  const report = await verify();
  expect(report.mismatches).toContainEqual({
    kind: 'books',
    where: 'wallet w: books and coins',
    key: `position ${HISTORY.length}`,
    stored: '5000',
    expected: '5001',
  });
});

test('verifying at a position is not disturbed by what is recorded and projected meanwhile', async () => {
  const { pool, ownerPool } = database;
  await tellLog(ownerPool, 'moving', HISTORY);
  await projectToHead(pool, 'moving');
  let isMoved = false;
  const moves: Promise<unknown>[] = [];
  const report = await verifyLedger({
    pool,
    ledger: 'moving',
    projections: ALL_PROJECTIONS,
    onProgress: ({ phase }) => {
      if (phase !== 'replay' || isMoved) return;
      isMoved = true;
      moves.push(
        // A coin is held meanwhile: of tables that hold the present alone nothing says what they held before.
        tellLog(ownerPool, 'moving', [
          transferSent('t2', 'bob', 'alice', 3),
          told.coinsReserved('p', [{ outpoint: `${hashNamed('transaction coinbase')}:0`, amount: 5000 }]),
        ]).then(() => projectToHead(pool, 'moving')),
      );
    },
  });
  await Promise.all(moves);
  expect(isMoved).toBe(true);
  expect(report).toMatchObject({ position: BigInt(HISTORY.length), total: 0 });
  expect(await verify('moving')).toMatchObject({ position: BigInt(HISTORY.length) + 2n, total: 0 });
});

test.each([
  {
    what: 'postings that do not sum to zero',
    sql: `UPDATE outbox SET data = jsonb_set(data, '{postings,0,amountSats}', '"6"') WHERE ledger = $1 AND type = 'TransferSent'`,
    expected: { kind: 'postings', stored: 'sum 1' },
  },
  {
    what: 'an amount that is not what the postings say',
    sql: `UPDATE outbox SET data = jsonb_set(data, '{amountSats}', '"6"') WHERE ledger = $1 AND type = 'TransferSent'`,
    expected: { kind: 'postings', where: 'TransferSent' },
  },
  {
    what: 'data that is not as its schema says',
    sql: `UPDATE outbox SET data = data || '{"extra":1}' WHERE ledger = $1 AND type = 'AccountOpened'`,
    expected: { kind: 'event', where: 'account-alice' },
  },
  {
    what: 'a missing event',
    sql: `DELETE FROM outbox WHERE ledger = $1 AND type = 'TransferSent'`,
    expected: { kind: 'log', where: 'positions', key: 'position 10' },
  },
  {
    what: 'a time that goes back',
    sql: `UPDATE outbox SET recorded_at = recorded_at - interval '1 hour' WHERE ledger = $1 AND position = 4`,
    expected: { kind: 'log', where: 'times', key: 'position 4' },
  },
  {
    what: 'a revision that skips',
    sql: `UPDATE outbox SET revision = 7 WHERE ledger = $1 AND position = ${HISTORY.length}`,
    expected: { kind: 'log', where: 'revisions' },
  },
])('tampering with the log is found: $what', async ({ what, sql, expected }) => {
  const ledger = `tampered-${hashNamed(what).slice(0, 12)}`;
  const { pool, ownerPool } = database;
  await tellLog(ownerPool, ledger, HISTORY);
  await projectToHead(pool, ledger);
  // Only who owns the tables and takes the guards off can do this at all.
  await ownerPool.query('ALTER TABLE outbox DISABLE TRIGGER USER');
  try {
    await ownerPool.query(sql, [ledger]);
  } finally {
    await ownerPool.query('ALTER TABLE outbox ENABLE ALWAYS TRIGGER outbox_order');
    await ownerPool.query('ALTER TABLE outbox ENABLE ALWAYS TRIGGER outbox_append_only');
  }
  const report = await verify(ledger);
  expect(report.mismatches).toContainEqual(expect.objectContaining(expected));
});
