import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase } from '../../../test/support/database.js';
import type { TestDatabase } from '../../../test/support/database.js';
import { tellLog } from '../../../test/support/ledger-log.js';
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
import { readCheckpoints } from '../checkpoint.js';
import { readScriptOwners } from '../read/script-owners.js';
import { readCredits } from '../read/read-credits.js';
import { readSchema } from '../tables/identifiers.js';
import { rebuildProjections } from './rebuild-projections.js';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(async () => {
  await database.drop();
});

test('text that COPY, JSON and arrays escape comes through a rebuild unchanged', async () => {
  const { pool, ownerPool } = database;
  const odd = 'tab\t newline\n return\r backslash \\ \\N \\. quote " brace {} comma , ünïcødé 🪵 \u0001';
  await tellLog(ownerPool, 'odd', [
    {
      stream: 'account-x',
      type: 'AccountOpened',
      data: { accountId: 'x', metadata: { [odd]: odd, '\\N': ['', null, { a: [1.5] }] } },
    },
    {
      stream: 'wallet-w',
      type: 'WalletCreated',
      data: {
        walletId: 'w',
        network: 'regtest',
        descriptor: `wpkh(${odd})`,
        changeDescriptor: '\\N',
        gapLimit: 20,
        signer: 'none',
      },
    },
    {
      stream: odd.slice(0, 60),
      type: 'ScriptWatched',
      data: { walletId: 'w', accountId: null, script: '', address: '\\N' },
    },
  ]);
  await projectToHead(pool, 'odd');
  const live = await dumpTables(pool, readSchema('odd'));
  expect(live['account']?.[0]?.['metadata']).toEqual({ [odd]: odd, '\\N': ['', null, { a: [1.5] }] });
  await rebuildProjections({ pool, ledger: 'odd', projections: ALL_PROJECTIONS });
  expect(await dumpTables(pool, readSchema('odd'))).toEqual(live);
});

test('one read model of several can be rebuilt, also of a ledger that has no event, and other ledgers keep theirs', async () => {
  const { pool, ownerPool } = database;
  await tellLog(ownerPool, 'neighbour', [accountOpened('n')]);
  await projectToHead(pool, 'neighbour');
  const neighbour = await dumpTables(pool, readSchema('neighbour'));
  await rebuildProjections({ pool, ledger: 'empty', projections: ALL_PROJECTIONS });
  expect((await readCheckpoints(pool, 'empty')).get('blocks')).toMatchObject({ position: 0n, state: 'live' });
  await tellLog(ownerPool, 'empty', [accountOpened('e')]);
  await projectToHead(pool, 'empty');
  await rebuildProjections({ pool, ledger: 'empty', projections: ALL_PROJECTIONS, names: ['accounts'] });
  const checkpoints = await readCheckpoints(pool, 'empty');
  expect(checkpoints.get('accounts')).toMatchObject({ generation: 2n, position: 1n });
  expect(checkpoints.get('log')).toMatchObject({ generation: 1n, position: 1n });
  expect(await dumpTables(pool, readSchema('neighbour'))).toEqual(neighbour);
});

test('transfers while the tip is lower than it was, also to oneself, are summed the same in a rebuild', async () => {
  const { pool, ownerPool } = database;
  await tellLog(ownerPool, 'lowered', [
    accountOpened('alice'),
    accountOpened('bob'),
    accountOpened('carol'),
    transferSent('before-chain', 'alice', 'bob', 1),
    ...chainOpened(1),
    blockConnected(1, '1', '0', deposit('d1', 'alice', 1_000)),
    transferSent('t1', 'alice', 'bob', 10),
    blockConnected(2, '2', '1', deposit('d2', 'bob', 2_000)),
    transferSent('t2', 'alice', 'bob', 20),
    transferSent('to-oneself', 'alice', 'alice', 5),
    transferSent('high', 'carol', 'bob', 40),
    blockDisconnected(2, '2', '1', 3),
    transferSent('lower', 'bob', 'alice', 7),
    transferSent('lower-to-oneself', 'bob', 'bob', 3),
    blockDisconnected(1, '1', '0', 2),
    transferSent('lowest', 'alice', 'bob', 9),
    blockConnected(1, '1b', '0', deposit('d1', 'alice', 1_000)),
    transferSent('again', 'alice', 'bob', 11),
    blockConnected(2, '2b', '1b'),
    transferSent('end', 'bob', 'alice', 13),
  ]);
  await projectToHead(pool, 'lowered');
  const live = await dumpTables(pool, readSchema('lowered'));
  const ofAlice = live['account_books']?.filter((row) => row['account_id'] === 'alice');
  expect(ofAlice?.map((row) => row['height'])).toEqual(expect.arrayContaining([-1, 0, 1, 2]));
  await rebuildProjections({ pool, ledger: 'lowered', projections: ALL_PROJECTIONS });
  expect(await dumpTables(pool, readSchema('lowered'))).toEqual(live);
});

test('what commands read: credits and owners, after a reorg', async () => {
  const { pool, ownerPool } = database;
  const head = await tellLog(ownerPool, 'reads', [
    ...chainOpened(2),
    accountOpened('alice'),
    accountOpened('bob'),
    {
      stream: 'wallet-w',
      type: 'ScriptWatched',
      data: { walletId: 'w', accountId: 'alice', script: '0014aa', address: null },
    },
    {
      stream: 'wallet-v',
      type: 'ScriptWatched',
      data: { walletId: 'v', accountId: 'bob', script: '0014aa', address: null },
    },
    blockConnected(1, '1', '0', deposit('kept', 'alice', 700)),
    blockConnected(2, '2', '1', deposit('lost', 'bob', 900)),
    transferSent('t', 'alice', 'bob', 100),
    blockDisconnected(2, '2', '1', 3),
  ]);
  await projectToHead(pool, 'reads');
  // At height 1 the deposit of block 1 has one confirmation of two again.
  expect(await readCredits(pool, 'reads', ['alice', 'bob', 'nobody'])).toEqual({
    credits: new Map([
      ['alice', 0n],
      ['bob', 100n],
      ['nobody', 0n],
    ]),
    opened: new Set(['alice', 'bob']),
    position: head,
  });
  const owners = await readScriptOwners(pool, 'reads', ['0014aa', '0014bb']);
  expect([...owners.values()]).toMatchObject([{ script: '0014aa', walletId: 'w', accountId: 'alice' }]);
});
