import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCommandServer, deposit, type CommandServer } from '../../../test/support/command-server.js';
import { createTestDatabase, type TestDatabase } from '../../../test/support/database.js';
import { createLedgerClient, type Answer, type LedgerClient } from '../../../test/support/ledger-client.js';
import { createTestPayer, planOf, psbtOf } from '../../../test/support/payment-plan.js';
import { hashOf, prepared, startedWith } from '../../../test/support/payout-cases.js';
import { buildPsbt } from '../../bitcoin/payment/build-psbt.js';
import { checkSigned } from '../../bitcoin/payment/check-signed.js';
import type { PlannedTransaction } from '../../domain/events/payout-events.js';
import type { FundsReserved } from '../../domain/events/withdrawal-events.js';
import { PROBLEM_CODES, type ProblemCode } from '../../platform/http/problem-codes.js';
import { COMMAND_PARTS, type CommandParts } from '../command-parts.js';
import { createLedgerCommands, type LedgerCommands } from '../ledger-commands.js';
import type { ChainEvidence, PayoutSigning, TransactionEvidence } from '../ports.js';

const ADDRESS = 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080';
const SCRIPT = '0014751e76e8199196d454941c45d1b3a323f1433bd6';
const FOREIGN = hashOf(666);

const payer = createTestPayer('wpkh');
/** As the composition does it, without a node for previous transactions, which p2wpkh does not need. */
const signing: PayoutSigning = {
  buildPsbt: (_payout, { transaction }) => {
    const { receive, change } = payer;
    const psbt = buildPsbt({ network: 'regtest', receive, change, transaction, previous: new Map() });
    if ('missing' in psbt) throw new Error('a p2wpkh payment needs no previous transaction');
    return Promise.resolve(psbt);
  },
  checkSigned: (_payout, { transaction }, signed) => {
    const checked = checkSigned(signed, transaction);
    if (checked.kind === 'complete') return Promise.resolve({ ...checked, feeSats: checked.feeSats.toString() });
    if (checked.kind === 'mismatch') return Promise.resolve({ kind: 'mismatch', differences: checked.mismatches });
    return Promise.resolve(checked);
  },
  findSent: () => Promise.resolve(undefined),
};
/** What the chain says; set by each test. */
let chain: TransactionEvidence | undefined;
let askedOutpoints: readonly string[] = [];
const evidence: ChainEvidence = {
  transaction: (_txid, outpoints) => {
    askedOutpoints = outpoints;
    return Promise.resolve(chain);
  },
};

let database: TestDatabase;
let server: CommandServer;
let client: LedgerClient;
let commands: LedgerCommands;
let keys = 0;
const key = (): string => `key-${++keys}`;

beforeAll(async () => {
  database = await createTestDatabase();
  server = await startCommandServer({ database, signing, evidence });
  client = createLedgerClient(server.url);
  commands = createLedgerCommands(server.app.get<CommandParts>(COMMAND_PARTS, { strict: false }));
  await client.post('/v1/accounts', { accountId: 'alice' }, key());
  await client.post('/v1/wallets', { walletId: 'cold', descriptor: payer.descriptor }, key());
  await deposit(server.store, 'main', { alice: 10_000_000n });
});

afterAll(async () => {
  await server.close();
  await database.drop();
});

function expectProblem(answer: { status: number; body: Record<string, unknown> }, code: ProblemCode): void {
  const { status, title } = PROBLEM_CODES[code];
  expect(answer.body).toMatchObject({ type: `/problems/${code}`, title, status, code });
  expect(answer.status).toBe(status);
}

interface Made {
  payoutId: string;
  plan: PlannedTransaction;
  path: string;
  psbt: Uint8Array;
}

let made = 0;
/** A payout with one withdrawal and one candidate, unsigned. */
async function payout(): Promise<Made> {
  const n = ++made;
  const [payoutId, withdrawalId] = [`p${n}`, `w${n}`];
  const body = { withdrawalId, accountId: 'alice', address: ADDRESS, amountSats: '60000', maxFeeSats: '5000' };
  const answer = await client.post('/v1/withdrawals', body, key());
  const [event] = await server.outbox.read(BigInt(String(answer.body['position'])) - 1n, 1);
  const { accountId, address, script, amountSats, maxFeeSats } = event?.data as FundsReserved;
  const paid = { withdrawalId, accountId, address, script, amountSats, maxFeeSats };
  const coin = { txid: hashOf(5_000 + n), vout: 0, amountSats: 100_000n, index: 0, blockHash: hashOf(1) };
  const planned = planOf(payer, {
    inputs: [coin],
    outputs: [{ script: SCRIPT, amountSats: 60_000n }],
    change: { index: n, amountSats: 39_000n },
  });
  const plan = {
    ...planned,
    outputs: planned.outputs.map((output) => (output.withdrawalId === null ? output : { ...output, withdrawalId })),
  };
  const steps = [
    await commands.startPayout(startedWith([paid], { payoutId, walletId: 'cold', signer: 'none' })),
    await commands.assignWithdrawal({ withdrawalId, payoutId }),
    await commands.reserveCoins({
      walletId: 'cold',
      payoutId,
      coins: [{ outpoint: `${coin.txid}:0`, amountSats: 100_000n }],
      change: null,
    }),
    await commands.prepareCandidate({ ...prepared(0, plan), payoutId }),
  ];
  for (const step of steps) expect(step).toMatchObject({ kind: 'done' });
  return { payoutId, plan, path: `/v1/payouts/${payoutId}/psbt`, psbt: psbtOf(payer, plan) };
}

async function send(path: string, body: string | Uint8Array, type = 'text/plain', withKey = key()): Promise<Answer> {
  const response = await fetch(server.url + path, {
    method: 'POST',
    headers: { 'content-type': type, 'idempotency-key': withKey },
    body: typeof body === 'string' ? body : Buffer.from(body),
  });
  return {
    status: response.status,
    headers: response.headers,
    body: (await response.json()) as Record<string, unknown>,
  };
}

async function fetchPsbt(path: string, accept?: string): Promise<Response> {
  return await fetch(server.url + path, accept === undefined ? {} : { headers: { accept } });
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

describe('GET /v1/payouts/{id}/psbt', () => {
  it('gives the unsigned PSBT, as text or as bytes', async () => {
    const { path, psbt } = await payout();
    const text = await fetchPsbt(path);
    expect(text.status).toBe(200);
    expect(text.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    expect(await text.text()).toBe(base64(psbt));
    for (const accept of ['application/octet-stream', 'application/octet-stream, */*;q=0.5']) {
      const binary = await fetchPsbt(path, accept);
      expect(binary.headers.get('content-type')).toBe('application/octet-stream');
      expect(Buffer.from(await binary.arrayBuffer()).equals(Buffer.from(psbt))).toBe(true);
    }
    expect(await (await fetchPsbt(path, 'text/html, text/plain')).text()).toBe(base64(psbt));
  });

  it('says why there is none', async () => {
    const problem = async (
      path: string,
      accept?: string,
    ): Promise<{ status: number; body: Record<string, unknown> }> => {
      const response = await fetchPsbt(path, accept);
      return { status: response.status, body: (await response.json()) as Record<string, unknown> };
    };
    expectProblem(await problem('/v1/payouts/nothing/psbt'), 'payout-not-found');
    expectProblem(await problem('/v1/payouts/a%20b/psbt'), 'validation-failed');
    const { path, payoutId } = await payout();
    expectProblem(await problem(path, 'image/png'), 'not-acceptable');
    await commands.removeWithdrawal({ payoutId, withdrawalId: payoutId.replace('p', 'w'), reason: null });
    expectProblem(await problem(path), 'payout-not-ready');
  });
});

describe('POST /v1/payouts/{id}/psbt', () => {
  it('takes the signed PSBT, in either form, and says the same to the same', async () => {
    for (const type of ['text/plain', 'application/octet-stream']) {
      const { path, psbt, payoutId } = await payout();
      const signed = await payer.sign(psbt);
      const body = type === 'text/plain' ? `${base64(signed)}\n` : signed;
      const answer = await send(path, body, type, `signed-${type}`);
      const state = await commands.payoutState(payoutId);
      const txid = state.candidates[0]?.signed[0]?.txid;
      const head = (await server.outbox.head()).toString();
      expect(answer.body).toEqual({ payoutId, status: 'signed', txid, position: head });
      expect(answer.status).toBe(202);
      expect(state.phase).toBe('signed');
      const again = await send(path, body, type, `signed-${type}`);
      expect(again.body).toEqual(answer.body);
      expect(again.headers.get('idempotency-replayed')).toBe('true');
      // Signed twice with another key: the same payment, nothing more is written.
      const twice = await send(path, body, type, `twice-${type}`);
      expect(twice.body).toMatchObject({ payoutId, status: 'signed', txid });
      expect((await send(path, body, type, `twice-${type}`)).body).toEqual(twice.body);
      expect((await server.outbox.head()).toString()).toBe(head);
      expect(await commands.signedTransaction(payoutId, String(txid))).toMatch(/^0200000000010[1-9]/);
    }
  });

  it('keeps the key for the bytes that came with it', async () => {
    const [one, two] = [await payout(), await payout()];
    await send(one.path, await payer.sign(one.psbt), 'application/octet-stream', 'bytes');
    expectProblem(
      await send(one.path, await payer.sign(two.psbt), 'application/octet-stream', 'bytes'),
      'idempotency-key-reused',
    );
  });

  it('refuses what is not complete, and what is something else, naming it; the payout stays as it was', async () => {
    const [one, two] = [await payout(), await payout()];
    const before = await server.outbox.head();
    const incomplete = await send(one.path, base64(one.psbt));
    expectProblem(incomplete, 'psbt-incomplete');
    expect(incomplete.body['detail']).toBe('Inputs without a complete signature: 0.');
    const other = await send(one.path, await payer.sign(two.psbt), 'application/octet-stream', 'other');
    expectProblem(other, 'psbt-mismatch');
    expect(String(other.body['detail'])).toMatch(/input/);
    const again = await send(one.path, await payer.sign(two.psbt), 'application/octet-stream', 'other');
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expectProblem(await send(one.path, 'no psbt at all'), 'psbt-mismatch');
    expectProblem(await send(one.path, Buffer.alloc(100, 7), 'application/octet-stream'), 'psbt-mismatch');
    expect(await server.outbox.head()).toBe(before);
    expect(await commands.payoutState(one.payoutId)).toMatchObject({ phase: 'prepared' });
    expect((await send(one.path, base64(await payer.sign(one.psbt)))).status).toBe(202);
  });

  it('refuses what was prepared before a withdrawal was taken out', async () => {
    const { path, psbt, payoutId } = await payout();
    const signed = await payer.sign(psbt);
    await commands.removeWithdrawal({ payoutId, withdrawalId: payoutId.replace('p', 'w'), reason: null });
    expectProblem(await send(path, base64(signed)), 'payout-not-ready');
  });

  it.each<[ProblemCode, string, string, string]>([
    ['payout-not-found', '/v1/payouts/nothing/psbt', 'cHNidP8=', 'text/plain'],
    ['request-malformed', '/v1/payouts/nothing/psbt', '', 'text/plain'],
    ['unsupported-media-type', '/v1/payouts/nothing/psbt', '{}', 'application/json'],
    ['validation-failed', '/v1/payouts/a%20b/psbt', 'cHNidP8=', 'text/plain'],
  ])('refuses: %s %s', async (code, path, body, type) => {
    expectProblem(await send(path, body, type), code);
  });

  it('needs a key', async () => {
    const response = await fetch(`${server.url}/v1/payouts/p1/psbt`, {
      method: 'POST',
      headers: { 'content-type': 'text/plain' },
      body: 'cHNidP8=',
    });
    expectProblem(
      { status: response.status, body: (await response.json()) as Record<string, unknown> },
      'idempotency-key-missing',
    );
  });

  it('against a cancellation has exactly one winner', async () => {
    for (let round = 0; round < 6; round++) {
      const { path, psbt, payoutId } = await payout();
      const signed = await payer.sign(psbt);
      const withdrawalId = payoutId.replace('p', 'w');
      const answers = await Promise.all([
        send(path, base64(signed)),
        client.post(`/v1/withdrawals/${withdrawalId}/cancel`, {}, key()),
      ]);
      expect(answers.map(({ status }) => status).filter((status) => status === 202)).toHaveLength(1);
    }
  });
});

describe('POST /v1/payouts/{id}/resolve', () => {
  const resolve = (payoutId: string, body: object, withKey = key()): Promise<Answer> =>
    client.post(`/v1/payouts/${payoutId}/resolve`, body, withKey);

  async function halted(): Promise<Made> {
    const one = await payout();
    await send(one.path, base64(await payer.sign(one.psbt)));
    const outpoint = `${one.plan.inputs[0]?.txid}:0`;
    const halt = { payoutId: one.payoutId, outpoint, byTxid: FOREIGN, blockHash: hashOf(9), height: 9 };
    expect(await commands.haltPayout(halt)).toMatchObject({ kind: 'done' });
    chain = { confirmations: 10, spends: [outpoint], outputs: [{ script: SCRIPT, amountSats: 60_000n }] };
    return one;
  }

  it.each([
    ['pay-again', 'started', ['PayoutResolved']],
    ['paid', 'settled', ['PayoutResolved', 'PayoutSettled']],
    ['give-up', 'given-up', ['PayoutResolved']],
  ])('%s', async (outcome, status, types) => {
    const { payoutId, plan } = await halted();
    const before = await server.outbox.head();
    const body = { outcome, byTxid: FOREIGN, note: 'seen by two of us' };
    const answer = await resolve(payoutId, body, `resolve-${outcome}`);
    const head = await server.outbox.head();
    expect(answer.body).toEqual({ payoutId, status, position: head.toString() });
    expect(answer.status).toBe(202);
    expect(askedOutpoints).toEqual([`${plan.inputs[0]?.txid}:0`]);
    const events = await server.outbox.read(before, 10);
    expect(events.map(({ type }) => type)).toEqual(types);
    expect(events[0]?.data).toMatchObject({ outcome, byTxid: FOREIGN, confirmations: 10, note: 'seen by two of us' });
    // The same again is the same answer, also now that the payout is not halted any more.
    expect((await resolve(payoutId, body, `resolve-${outcome}`)).body).toEqual(answer.body);
    expectProblem(await resolve(payoutId, body), 'payout-not-resolvable');
  });

  it('says how deep it is where that is not deep enough', async () => {
    const { payoutId } = await halted();
    if (chain) chain = { ...chain, confirmations: 9 };
    const answer = await resolve(payoutId, { outcome: 'pay-again', byTxid: FOREIGN });
    expectProblem(answer, 'payout-not-resolvable');
    expect(answer.body['detail']).toBe(`${FOREIGN} has 9 confirmations; it must have 10 before this can be decided.`);
  });

  it('is refused where the chain says otherwise', async () => {
    const { payoutId } = await halted();
    const there = chain;
    chain = undefined;
    expectProblem(await resolve(payoutId, { outcome: 'give-up', byTxid: FOREIGN }), 'payout-not-resolvable');
    if (there) chain = { ...there, spends: [] };
    expectProblem(await resolve(payoutId, { outcome: 'give-up', byTxid: FOREIGN }), 'payout-not-resolvable');
    if (there) chain = { ...there, outputs: [{ script: SCRIPT, amountSats: 59_999n }] };
    expectProblem(await resolve(payoutId, { outcome: 'paid', byTxid: FOREIGN }), 'payout-not-resolvable');
    expect(await commands.payoutState(payoutId)).toMatchObject({ phase: 'halted' });
  });

  it('is refused where nothing is halted, and for what is not there', async () => {
    const { payoutId } = await payout();
    expectProblem(await resolve(payoutId, { outcome: 'pay-again', byTxid: FOREIGN }), 'payout-not-resolvable');
    expectProblem(await resolve('nothing', { outcome: 'pay-again', byTxid: FOREIGN }), 'payout-not-found');
  });

  it.each<[string, object, string[]]>([
    ['nothing', {}, ['/outcome', '/byTxid']],
    ['another outcome', { outcome: 'maybe', byTxid: FOREIGN }, ['/outcome']],
    ['no txid', { outcome: 'paid', byTxid: 'ff' }, ['/byTxid']],
    ['an unknown field', { outcome: 'paid', byTxid: FOREIGN, force: true }, ['/force']],
    ['a long note', { outcome: 'paid', byTxid: FOREIGN, note: 'x'.repeat(501) }, ['/note']],
  ])('does not take %s', async (_what, body, pointers) => {
    const answer = await resolve('p1', body);
    expectProblem(answer, 'validation-failed');
    expect((answer.body['errors'] as { pointer: string }[]).map(({ pointer }) => pointer)).toEqual(pointers);
  });
});

it('without a signer or a chain to look at, says so', async () => {
  const bare = await startCommandServer({ database });
  try {
    const { path, psbt, payoutId } = await payout();
    expect((await fetch(bare.url + path)).status).toBe(503);
    const response = await fetch(bare.url + path, {
      method: 'POST',
      headers: { 'content-type': 'text/plain', 'idempotency-key': key() },
      body: base64(psbt),
    });
    expect(response.status).toBe(503);
    const outpoint = `${hashOf(5_000 + made)}:0`;
    await commands.haltPayout({ payoutId, outpoint, byTxid: FOREIGN, blockHash: hashOf(9), height: 9 });
    const body = { outcome: 'pay-again', byTxid: FOREIGN };
    const answer = await createLedgerClient(bare.url).post(`/v1/payouts/${payoutId}/resolve`, body, key());
    expectProblem(answer, 'unavailable');
  } finally {
    await bare.close();
  }
});
