import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/support/database.js';
import * as told from '../../test/support/payout-events.js';
import { startQueryServer, type QueryServer } from '../../test/support/query-server.js';
import {
  accountOpened,
  blockConnected,
  blockDisconnected,
  chainOpened,
  deposit,
  hashNamed,
  walletCreated,
} from '../../test/support/small-histories.js';

let database: TestDatabase;
let server: QueryServer;

const PAID = { id: 'wd1', account: 'alice', amount: 40_000, maxFee: 1_000 };
const WAITING = { id: 'wd2', account: 'alice', amount: 5_000 };
const STOLEN = { id: 'wd3', account: 'bob', amount: 6_000 };
const COIN = told.coinNamed('c', 100_000);
const TAKEN = told.coinNamed('d', 50_000);
const PAYMENT: told.Payment = {
  payoutId: 'p1',
  candidate: 0,
  txid: hashNamed('payment'),
  inputs: [COIN],
  pays: [PAID],
  change: 59_500,
  fee: 500,
};
const VICTIM: told.Payment = {
  ...PAYMENT,
  payoutId: 'p2',
  txid: hashNamed('victim'),
  inputs: [TAKEN],
  pays: [STOLEN],
  change: 43_500,
};
const THEFT: told.Payment = { ...VICTIM, txid: hashNamed('theft'), pays: [], change: 0 };
const DEPTHS = { completeAt: 2, finalAt: 6 };

beforeAll(async () => {
  database = await createTestDatabase();
  server = await startQueryServer({ database });
  const coins = [deposit('c', null, 100_000), deposit('d', null, 50_000), deposit('a', 'alice', 90_000)];
  await server.tell([
    ...chainOpened(1),
    accountOpened('alice'),
    accountOpened('bob'),
    walletCreated('w'),
    blockConnected(1, '1', '0', {
      received: coins.flatMap(({ received }) => received ?? []),
      funding: coins.flatMap(({ funding }) => funding ?? []),
    }),
    told.fundsReserved(PAID),
    told.fundsReserved(WAITING),
    told.withdrawalDeferred(WAITING.id, 'the wallet has 3 sat'),
    told.payoutStarted('p1', [PAID], DEPTHS),
    told.withdrawalAssigned(PAID.id, 'p1'),
    told.coinsReserved('p1', [COIN]),
    told.candidatePrepared(PAYMENT),
    told.candidateSigned(PAYMENT),
    told.candidateOffered('p1', PAYMENT.txid, 'accepted'),
    blockConnected(2, '2', '1', told.minedPayment(PAYMENT)),
  ]);
});
afterAll(async () => {
  await server.close();
  await database.drop();
});

async function ask(query: string): Promise<Record<string, unknown>> {
  const response = await fetch(`${server.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query }),
  });
  const { data, errors } = (await response.json()) as { data?: Record<string, unknown>; errors?: object[] };
  return data ?? { errors };
}

test('a withdrawal over REST: the answer, its tag, as of before, and none', async () => {
  const url = `${server.url}/v1/withdrawals/${PAID.id}`;
  const response = await fetch(url);
  expect(response.status).toBe(200);
  expect(await response.json()).toMatchObject({
    withdrawalId: 'wd1',
    status: 'confirming',
    confirmations: 1,
    amountSats: '40000',
    maxFeeSats: '1000',
    feeSats: null,
    txid: PAYMENT.txid,
    candidates: [PAYMENT.txid],
    payoutId: 'p1',
    blockHash: hashNamed('block 2'),
  });
  const etag = response.headers.get('etag') ?? '';
  expect((await fetch(url, { headers: { 'if-none-match': etag } })).status).toBe(304);
  const before = await fetch(`${url}?height=1`);
  expect(await before.json()).toMatchObject({ status: 'broadcast', confirmations: 0, blockHash: null });
  const none = await fetch(`${server.url}/v1/withdrawals/nobody`);
  expect([none.status, ((await none.json()) as { code: string }).code]).toEqual([404, 'withdrawal-not-found']);
});

test('a payout over REST', async () => {
  const response = await fetch(`${server.url}/v1/payouts/p1`);
  expect(await response.json()).toMatchObject({
    payoutId: 'p1',
    status: 'confirming',
    withdrawals: ['wd1'],
    transactions: [{ txid: PAYMENT.txid, candidate: 0, kind: 'payment', feeSats: '500', answer: 'accepted' }],
    halt: null,
  });
  const none = await fetch(`${server.url}/v1/payouts/nobody`);
  expect([none.status, ((await none.json()) as { code: string }).code]).toEqual([404, 'payout-not-found']);
});

test('a payout over GraphQL says what each payment spends and pays, in satoshis', async () => {
  const answer = await ask(`{ payout(id: "p1") { candidates {
    number txid feeSats inputs { txid amountSats } outputs { amountSats withdrawalId change } transactions { txid }
  } } }`);
  expect(answer).toEqual({
    payout: {
      candidates: [
        {
          number: 0,
          txid: PAYMENT.txid,
          feeSats: '500',
          inputs: [{ txid: COIN.outpoint.slice(0, 64), amountSats: '100000' }],
          outputs: [
            { amountSats: '40000', withdrawalId: 'wd1', change: false },
            { amountSats: '59500', withdrawalId: null, change: true },
          ],
          transactions: [{ txid: PAYMENT.txid }],
        },
      ],
    },
  });
});

test('what waits says why and since when; what nobody knows is refused by name', async () => {
  const answer = await ask(`{
    waiting: withdrawals(filter: { status: "requested" }) { edges { node { id waitReason waitDetail overdueSince requestedAt } } }
    late: withdrawals(filter: { overdue: true, accountId: "alice" }) { edges { node { id } } }
    fine: withdrawals(filter: { overdue: false, payoutId: "p1" }) { edges { node { id } } }
    account(id: "alice") { availableSats reservedSats pendingSats }
    wallet(id: "w") { reservedSats confirmedSats coins { edges { node { txid reserved } } } }
  }`);
  // Told as of January 2026: long ago.
  const [node] = (answer['waiting'] as { edges: { node: Record<string, string> }[] }).edges.map((edge) => edge.node);
  expect(node).toMatchObject({ id: 'wd2', waitReason: 'wallet-too-low', waitDetail: 'the wallet has 3 sat' });
  const limit = new Date(node?.['requestedAt'] ?? '').getTime() + 10 * 60_000;
  expect(node?.['overdueSince']).toBe(new Date(limit).toISOString());
  expect(answer['late']).toEqual({ edges: [{ node: { id: 'wd2' } }, { node: { id: 'wd1' } }] });
  expect(answer['fine']).toEqual({ edges: [] });
  expect(answer['account']).toEqual({ availableSats: '44000', reservedSats: '46000', pendingSats: '0' });
  expect(answer['wallet']).toMatchObject({ reservedSats: '0', confirmedSats: '199500' });
  const refused = await ask('{ withdrawals(filter: { status: "paid" }) { edges { node { id } } } }');
  expect(JSON.stringify(refused)).toContain('filter.status');
});

test('a history tells the life: each event with its txid, blocks without what they hold for others', async () => {
  const answer = await ask(`{ withdrawal(id: "wd1") { history { type txid stream data } } }`);
  const { history } = answer['withdrawal'] as { history: { type: string; txid: string | null; data: object }[] };
  expect(history.map(({ type, txid }) => [type, txid])).toEqual([
    ['FundsReserved', null],
    ['PayoutStarted', null],
    ['WithdrawalAssigned', null],
    ['CoinsReserved', null],
    ['CandidatePrepared', PAYMENT.txid],
    ['CandidateSigned', PAYMENT.txid],
    ['CandidateOffered', PAYMENT.txid],
    ['BlockConnected', PAYMENT.txid],
  ]);
  expect(history.at(-1)?.data).not.toHaveProperty('found');
});

test('a payment that loses its block is broadcast again; a stolen coin halts its payout; the ledger says what is in transit', async () => {
  await server.tell([
    blockDisconnected(2, '2', '1', 3),
    told.fundsReserved(STOLEN),
    told.payoutStarted('p2', [STOLEN], DEPTHS),
    told.coinsReserved('p2', [TAKEN]),
    told.candidatePrepared(VICTIM),
    told.candidateSigned(VICTIM),
    blockConnected(2, '2b', '1', told.minedPayment(THEFT, false)),
    told.payoutHalted('p2', TAKEN.outpoint, THEFT.txid, hashNamed('block 2b'), 2),
  ]);
  const answer = await ask(`{
    withdrawal(id: "wd1") { status confirmations txid }
    halted: payouts(filter: { status: "halted" }) { edges { node { id halt { byTxid outpoint height } withdrawals { id waitReason } } } }
    signed: payouts(filter: { status: "signed" }) { edges { node { id } } }
    ledger { transitSats suspenseSats feesSats differenceSats }
  }`);
  expect(answer).toMatchObject({
    withdrawal: { status: 'broadcast', confirmations: 0, txid: PAYMENT.txid },
    halted: {
      edges: [
        {
          node: {
            id: 'p2',
            halt: { byTxid: THEFT.txid, outpoint: TAKEN.outpoint, height: 2 },
            withdrawals: [{ id: 'wd3', waitReason: 'halted' }],
          },
        },
      ],
    },
    signed: { edges: [] },
    ledger: { transitSats: '0', suspenseSats: '50000', feesSats: '0', differenceSats: '0' },
  });
  await server.tell([blockConnected(3, '3b', '2b', told.minedPayment(PAYMENT))]);
  const later = await ask(`{ ledger { transitSats suspenseSats } withdrawal(id: "wd1") { status } }`);
  expect(later).toEqual({
    ledger: { transitSats: '40500', suspenseSats: '50000' },
    withdrawal: { status: 'confirming' },
  });
});

test('what a payout does after it has let go of a withdrawal is not told of it; what the next one does is', async () => {
  const [leaves, stays] = [
    { id: 'wd4', account: 'bob', amount: 700 },
    { id: 'wd5', account: 'bob', amount: 800 },
  ];
  const coin = told.coinNamed('e', 10_000);
  const rest: told.Payment = {
    ...PAYMENT,
    payoutId: 'p3',
    txid: hashNamed('without it'),
    inputs: [coin],
    pays: [stays],
    change: 9_000,
    fee: 200,
  };
  await server.tell([
    blockConnected(4, '4b', '3b', deposit('e', null, 10_000)),
    told.fundsReserved(leaves),
    told.fundsReserved(stays),
    told.payoutStarted('p3', [leaves, stays], DEPTHS),
    told.coinsReserved('p3', [coin]),
    told.withdrawalRemoved('p3', leaves.id),
    told.candidatePrepared(rest),
    told.candidateSigned(rest),
    told.payoutStarted('p4', [leaves], DEPTHS),
    told.withdrawalAssigned(leaves.id, 'p4'),
    blockConnected(5, '5b', '4b', told.minedPayment(rest)),
  ]);
  const answer = await ask(`{
    left: withdrawal(id: "wd4") { history { type stream } }
    stayed: withdrawal(id: "wd5") { history { type } }
  }`);
  const typesOf = (name: string): string[] =>
    (answer[name] as { history: { type: string; stream: string }[] }).history.map(({ type }) => type);
  expect(typesOf('left')).toEqual([
    'FundsReserved',
    'PayoutStarted',
    'CoinsReserved',
    'WithdrawalRemoved',
    'PayoutStarted',
    'WithdrawalAssigned',
  ]);
  expect(typesOf('stayed')).toEqual([
    'FundsReserved',
    'PayoutStarted',
    'CoinsReserved',
    'CandidatePrepared',
    'CandidateSigned',
    'BlockConnected',
  ]);
});
