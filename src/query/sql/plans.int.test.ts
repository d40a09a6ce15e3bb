import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../../test/support/database.js';
import { tellLog, type ToldEvent } from '../../../test/support/ledger-log.js';
import { projectToHead } from '../../../test/support/live-read-models.js';
import * as told from '../../../test/support/payout-events.js';
import { startQueryServer, type QueryServer } from '../../../test/support/query-server.js';
import {
  accountOpened,
  blockConnected,
  chainOpened,
  deposit,
  hashNamed,
  transferSent,
  walletCreated,
} from '../../../test/support/small-histories.js';

const ACCOUNTS = 1_500;
const BLOCKS = 150;
const DEPOSITS_PER_BLOCK = 10;
/** Withdrawals that wait, and payouts of one withdrawal each that a node has taken. */
const WITHDRAWALS = 200;
const PAYOUTS = 100;

let database: TestDatabase;
let server: QueryServer;
/** Statements that queries sent, with their values. */
const statements = new Map<string, unknown[]>();

beforeAll(async () => {
  database = await createTestDatabase();
  await tellLog(database.ownerPool, 'main', history());
  await projectToHead(database.pool, 'main', () => 500);
  await fill();
  await database.ownerPool.query('ANALYZE');
  const query = database.pool.query.bind(database.pool) as (...args: unknown[]) => unknown;
  Object.assign(database.pool, {
    query: (...args: unknown[]) => {
      const [first] = args as [{ name?: string; text?: string; values?: unknown[] } | string];
      if (typeof first === 'object' && first.name?.startsWith('query.') === true && first.text !== undefined) {
        statements.set(first.text, first.values ?? []);
      }
      return query(...args);
    },
  });
  server = await startQueryServer({ database });
}, 120_000);

afterAll(async () => {
  await server.close();
  await database.drop();
});

/** Rows of these are never changed; of these never ended; of these the last version is for ever that of what is over. */
const APPENDED = new Set<string>(['withdrawal_request', 'payout_start', 'candidate_plan', 'signed_transaction']);
const ONCE = new Set<string>(['book_balance']);
const LIVE = new Set<string>([
  'withdrawal',
  'payout_member',
  'payout',
  'candidate',
  'candidate_tx',
  'coin_reservation',
]);

/** Rows of these end soon, and are asked for in the present. */
const STAGES = new Set<string>(['withdrawal_stage', 'payout_stage']);

/** More of the same, which ended long ago: a table of a few pages is read whole, and rightly so. */
async function fill(): Promise<void> {
  for (const [table, columns, values] of [
    ['block', 'hash, height, revision', `md5(n::text), n % 1000, 0`],
    [
      'coin',
      'txid, vout, wallet_id, amount_sats, script, coinbase, first_height, created_height, seq',
      `md5(n::text), 0, 'w' || n % 20, 1, '', false, n % 1000, n % 1000, 1600 + n % 3000`,
    ],
    [
      'transfer',
      'id, direction, txid, index, wallet_id, amount_sats, script, coinbase, first_height, block_height, block_hash, seq',
      `'IN:' || n, 'IN', md5(n::text), 0, 'w' || n % 20, 1, '', false, n % 1000, n % 1000, md5((n % 1000)::text), 1600 + n % 3000`,
    ],
    ['wallet_chain', 'wallet_id, height, confirmed_sats, immature_sats', `'w' || n % 20, n % 1000, 1, 0`],
    ['book_balance', 'book, height, balance_sats', `'wallet:w' || n % 20, n % 1000, 1`],
    [
      'withdrawal_request',
      'withdrawal_id, account_id, wallet_id, address, script, amount_sats, confirmation_target, position, height, recorded_at',
      `'old' || n, 'a' || n % 1500, 'w', '', '', 1, 6, 10 + n % 3000, n % 100, now()`,
    ],
    [
      'payout_start',
      'payout_id, wallet_id, signer, confirmation_target, complete_at, final_at, position, height, recorded_at',
      `'old' || n, 'w', 'none', 6, 6, 100, 10 + n % 3000, n % 100, now()`,
    ],
    [
      'candidate_plan',
      'payout_id, candidate, transaction, fee_source, fee_reason, position, height, recorded_at',
      `'old' || n, 0, '{}', 'estimate', '', 10 + n % 3000, n % 100, now()`,
    ],
    [
      'signed_transaction',
      'txid, payout_id, candidate, transaction, inputs, change_vouts, fee_sats, weight, position, height, recorded_at',
      `md5(n::text), 'old' || n, 0, '', '{}', '[]', 1, 400, 10 + n % 3000, n % 100, now()`,
    ],
    [
      'withdrawal',
      'withdrawal_id, wallet_id, requested_position, state, state_at, payout_id, is_removed, is_open, height',
      `'old' || n, 'w', 10 + n % 3000, 'settled', now(), 'old' || n, false, false, n % 100`,
    ],
    [
      'withdrawal_stage',
      'withdrawal_id, requested_position, payout_id, stage, since, amount_sats, requested_at, is_unusual',
      `'old' || n, 10 + n % 3000, 'old' || n, 'broadcast', now(), 1, now(), n % 500 = 0`,
    ],
    [
      'payout_stage',
      'payout_id, started_position, stage, standing, since, started_at, is_unusual',
      `'old' || n, 10 + n % 3000, 'broadcast', 'broadcast', now(), now(), n % 500 = 0`,
    ],
    ['payout_member', 'payout_id, withdrawal_id, n, removed, height', `'old' || n, 'old' || n, 0, false, n % 100`],
    [
      'payout',
      'payout_id, wallet_id, started_position, phase, is_open, withdrawals, candidates, signed, bump_pending, final_height, height',
      `'old' || n, 'w', 10 + n % 3000, 'closed', false, 1, 1, 1, false, n % 100 + 5, n % 100`,
    ],
    ['candidate', 'payout_id, candidate, kind, is_void, height', `'old' || n, 0, 'payment', false, n % 100`],
    [
      'candidate_tx',
      'txid, payout_id, candidate, kind, is_signed, is_void, height',
      `md5(n::text), 'old' || n, 0, 'payment', true, false, n % 100`,
    ],
    [
      'coin_reservation',
      'outpoint, wallet_id, payout_id, amount_sats, held, height',
      `md5(n::text) || ':0', 'w', 'old' || n, 1, false, n % 100`,
    ],
  ] as const) {
    const to = ONCE.has(table)
      ? 'none'
      : LIVE.has(table)
        ? '9223372036854775807'
        : STAGES.has(table)
          ? '20 + n % 3000'
          : '20 + n';
    const position = APPENDED.has(table) ? '' : `, from_position${to === 'none' ? '' : ', to_position'}`;
    const valid = APPENDED.has(table)
      ? ''
      : `, ${STAGES.has(table) || LIVE.has(table) ? '10 + n % 3000' : '10 + n'}${to === 'none' ? '' : `, ${to}`}`;
    await database.ownerPool.query(
      `INSERT INTO read_main.${table} (${columns}${position}) SELECT ${values}${valid} FROM generate_series(1, 30000) n`,
    );
  }
  // Their payments are in blocks.
  await database.ownerPool.query(
    `INSERT INTO read_main.transfer (id, direction, txid, index, wallet_id, amount_sats, script, coinbase, first_height,
       block_height, block_hash, seq, from_position, to_position)
     SELECT 'OUT:' || md5(n::text) || ':0', 'OUT', md5(n::text), 0, 'w', 1, '', false, n % 50, n % 50, md5((n % 50)::text),
       10 + n % 3000, 10 + n % 3000, 9223372036854775807 FROM generate_series(1, 30000) n`,
  );
}

/** Accounts, blocks with deposits to them, and transfers between them, at every height. */
function history(): ToldEvent[] {
  const events = [...chainOpened(2), walletCreated('w')];
  for (let n = 0; n < ACCOUNTS; n += 1) events.push(accountOpened(`a${n}`));
  for (let height = 1; height <= BLOCKS; height += 1) {
    const deposits = Array.from({ length: DEPOSITS_PER_BLOCK }, (_, n) =>
      deposit(`${height}/${n}`, `a${(height * DEPOSITS_PER_BLOCK + n) % ACCOUNTS}`, 1_000),
    );
    events.push(
      blockConnected(height, String(height), String(height - 1), {
        received: deposits.flatMap(({ received }) => received ?? []),
        funding: deposits.flatMap(({ funding }) => funding ?? []),
      }),
    );
    for (let n = 0; n < 20; n += 1) events.push(transferSent(`t${height}-${n}`, `a${n}`, `a${n + 20}`, 1));
  }
  return [...events, ...payments()];
}

/** Withdrawals that wait, others that are sent, one that is cancelled. */
function payments(): ToldEvent[] {
  const asked = Array.from({ length: WITHDRAWALS }, (_, n) => ({ id: `wd${n}`, account: 'a7', amount: 1 }));
  const events = asked.map((withdrawal) => told.fundsReserved(withdrawal));
  for (const [n, withdrawal] of asked.slice(0, PAYOUTS).entries()) {
    const coin = told.coinNamed(`coin ${n}`, 1_000);
    const payment: told.Payment = {
      payoutId: `p${n}`,
      candidate: 0,
      txid: hashNamed(`payment ${n}`),
      inputs: [coin],
      pays: [withdrawal],
      change: 900,
      fee: 99,
    };
    events.push(
      told.payoutStarted(payment.payoutId, [withdrawal], { completeAt: 6, finalAt: 100 }),
      told.withdrawalAssigned(withdrawal.id, payment.payoutId),
      told.coinsReserved(payment.payoutId, [coin]),
      told.candidatePrepared(payment),
      told.candidateSigned(payment),
      told.candidateOffered(payment.payoutId, payment.txid, 'accepted'),
    );
  }
  return events;
}

interface Plan {
  'Node Type': string;
  'Relation Name'?: string;
  Plans?: Plan[];
}

function sequentialScans(plan: Plan): string[] {
  const own = plan['Node Type'] === 'Seq Scan' ? [plan['Relation Name'] ?? ''] : [];
  return [...own, ...(plan.Plans ?? []).flatMap(sequentialScans)];
}

/** Tables that have a handful of rows here, and in life. */
const SMALL = new Set(['wallet', 'chain_tip', 'reorg']);

const FIRST = `${hashNamed('transaction 1/0')}`;
const QUERIES: Readonly<Record<string, string>> = {
  account: '{ account(id: "a7") { availableSats entries(first: 5) { edges { cursor } } } }',
  'account in the past':
    '{ account(id: "a7", asOf: { position: "3000" }) { availableSats entries(first: 5) { edges { cursor } } } }',
  'account at a height':
    '{ account(id: "a7", asOf: { height: 70 }) { availableSats entries(first: 5) { edges { cursor } } } }',
  'account on a branch': `{ account(id: "a7", asOf: { blockHash: "${hashNamed('block 70')}" }) { pendingSats } }`,
  accounts: '{ accounts(first: 5) { edges { node { availableSats } } } }',
  wallet: '{ wallet(id: "w") { confirmedSats unconfirmedSats coins(first: 5) { edges { cursor } } } }',
  'wallet at a height':
    '{ wallet(id: "w", asOf: { height: 70 }) { confirmedSats coins(first: 5) { edges { cursor } } } }',
  'balances by height': '{ wallet(id: "w") { balances(fromHeight: 100, toHeight: 105) { confirmedSats } } }',
  transfers: '{ transfers(first: 5) { edges { node { status block { hash } } } } }',
  'transfers in the past': '{ transfers(first: 5, asOf: { height: 70 }) { edges { node { status } } } }',
  'transfers of an account': '{ transfers(filter: { accountId: "a7" }, first: 5) { edges { cursor } } }',
  'transfers of a transaction': `{ transfers(filter: { txid: "${FIRST}" }, first: 5) { edges { cursor } } }`,
  'transfers of a block': `{ transfers(filter: { blockHash: "${hashNamed('block 70')}" }, first: 5) { edges { cursor } } }`,
  'transfers that were moved': '{ transfers(filter: { status: ORPHANED }, first: 5) { edges { cursor } } }',
  'conflicts of a wallet':
    '{ transfers(filter: { status: CONFLICTED, walletId: "w" }, first: 5) { edges { cursor } } }',
  'block by height': '{ block(height: 70) { transfers { id } } }',
  'block by hash': `{ block(hash: "${hashNamed('block 70')}") { transfers { id } } }`,
  events: '{ events(first: 5) { edges { cursor } } }',
  'events by type': '{ events(first: 5, filter: { type: "WalletCreated" }) { edges { cursor } } }',
  'events by stream': '{ events(first: 5, filter: { stream: "account-a7" }) { edges { cursor } } }',
  'events of an account': '{ events(first: 5, filter: { accountId: "a7" }) { edges { cursor } } }',
  withdrawal:
    '{ withdrawal(id: "wd7") { status txid candidates history { type } payout { status candidates { txid inputs { txid } transactions { raw } } } } }',
  'withdrawal in the past': '{ withdrawal(id: "wd7", asOf: { position: "5400" }) { status history { type } } }',
  'withdrawal at a height': '{ withdrawal(id: "wd7", asOf: { height: 150 }) { status history { type } } }',
  withdrawals: '{ withdrawals(first: 5) { edges { node { status } } } }',
  'withdrawals of an account': '{ withdrawals(first: 5, filter: { accountId: "a7" }) { edges { node { status } } } }',
  'withdrawals of a payout': '{ withdrawals(first: 5, filter: { payoutId: "p7" }) { edges { node { status } } } }',
  'withdrawals that wait': '{ withdrawals(first: 5, filter: { status: "requested" }) { edges { node { status } } } }',
  'withdrawals that were sent':
    '{ withdrawals(first: 5, filter: { status: "broadcast" }) { edges { node { status } } } }',
  'withdrawals that are overdue': '{ withdrawals(first: 5, filter: { overdue: true }) { edges { node { status } } } }',
  'withdrawals that were cancelled':
    '{ withdrawals(first: 5, filter: { status: "cancelled" }) { edges { node { status } } } }',
  'withdrawals that are done':
    '{ withdrawals(first: 5, filter: { status: "completed" }) { edges { node { status } } } }',
  'withdrawals that are confirming':
    '{ withdrawals(first: 5, filter: { status: "confirming" }) { edges { node { status } } } }',
  payout: '{ payout(id: "p7") { status withdrawals { id } candidates { outputs { script } } } }',
  payouts: '{ payouts(first: 5) { edges { node { status } } } }',
  'payouts that were sent': '{ payouts(first: 5, filter: { status: "broadcast" }) { edges { node { status } } } }',
  'payouts that are final': '{ payouts(first: 5, filter: { status: "final" }) { edges { node { status } } } }',
  'payouts that failed': '{ payouts(first: 5, filter: { status: "failed" }) { edges { node { status } } } }',
  'payouts that are halted': '{ payouts(first: 5, filter: { status: "halted" }) { edges { node { status } } } }',
  'payouts that were cancelled': '{ payouts(first: 5, filter: { status: "cancelled" }) { edges { node { status } } } }',
  reserved: '{ wallet(id: "w") { reservedSats } account(id: "a7") { reservedSats } }',
  ledger: '{ ledger { customersSats walletsSats tip { hash } recordedAt } }',
};

describe('no query reads a whole table', () => {
  it.each(Object.entries(QUERIES))('%s', async (_name, query) => {
    statements.clear();
    const response = await fetch(`${server.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query }),
    });
    expect(((await response.json()) as { errors?: unknown }).errors).toBeUndefined();
    expect(statements.size).toBeGreaterThan(0);
    for (const [text, values] of statements) {
      const client = await database.ownerPool.connect();
      try {
        // As planned for these values, and as planned once for all values.
        const { rows: custom } = await client.query<Explained>(`EXPLAIN (FORMAT JSON) ${text}`, values);
        const { rows: generic } = await client.query<Explained>(`EXPLAIN (GENERIC_PLAN, FORMAT JSON) ${text}`);
        for (const [explained] of [custom, generic]) {
          const scans = sequentialScans(explained?.['QUERY PLAN'][0]?.Plan ?? { 'Node Type': 'none' });
          expect(
            scans.filter((table) => !SMALL.has(table)),
            text,
          ).toEqual([]);
        }
      } finally {
        client.release();
      }
    }
  });
});

interface Explained {
  'QUERY PLAN': { Plan: Plan }[];
}
