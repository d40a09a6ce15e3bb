import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCommandServer, deposit, type CommandServer } from '../../../test/support/command-server.js';
import { createTestDatabase, type TestDatabase } from '../../../test/support/database.js';
import { derived } from '../../../test/support/derived-scripts.js';
import { createLedgerClient, type Answer, type LedgerClient } from '../../../test/support/ledger-client.js';
import { PROBLEM_CODES, type ProblemCode } from '../../platform/http/problem-codes.js';

/** BIP84's vectors, as a testnet key; the addresses are those of a descriptor of the key on regtest. */
const TPUB =
  'tpubDC5FSnBiZDMmhiuCmWAYsLwgLYrrT9rAqvTySfuCCrgsWz8wxMXUS9Tb9iVMvcRbvFcAHGkMD5Kx8koh4GquNGNTfohfk7pgjhaPCdXpoba';

let database: TestDatabase;
let server: CommandServer;
let client: LedgerClient;
let keys = 0;
const key = (): string => `key-${++keys}`;
const post = (path: string, body: unknown, withKey = key()): Promise<Answer> => client.post(path, body, withKey);

beforeAll(async () => {
  database = await createTestDatabase();
  server = await startCommandServer({ database });
  client = createLedgerClient(server.url);
  for (const accountId of ['alice', 'bob', 'poor'])
    expect((await post('/v1/accounts', { accountId })).status).toBe(201);
  await deposit(server.store, 'main', { alice: 1_000_000n });
});

afterAll(async () => {
  await server.close();
  await database.drop();
});

/** A whole problem, as RFC 9457 and the contract want it. */
function expectProblem(answer: Answer, code: ProblemCode, path: string): void {
  const { status, title } = PROBLEM_CODES[code];
  expect(answer.body).toMatchObject({ type: `/problems/${code}`, title, status, code, instance: path });
  expect(answer.status).toBe(status);
  expect(answer.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
  expect(answer.body['detail']).toMatch(/^[A-Z].*\.$/);
  expect(answer.body['traceId']).toMatch(/^[0-9a-f]{32}$/);
}

/** The command did its work: 201, and its position in body and header is the ledger's head. */
async function expectDone(answer: Answer, body: Record<string, unknown>): Promise<void> {
  const head = (await server.outbox.head()).toString();
  expect(answer.body).toMatchObject({ ...body, position: head });
  expect(answer.status).toBe(201);
  expect(answer.headers.get('ledger-position')).toBe(head);
  expect(answer.headers.get('idempotency-replayed')).toBeNull();
}

describe('POST /v1/accounts', () => {
  it('opens an account', async () => {
    await expectDone(await post('/v1/accounts', { accountId: 'carol:1.a_B-' }), { accountId: 'carol:1.a_B-' });
  });

  it('keeps metadata exactly as it came', async () => {
    const metadata = {
      name: 'Zoë 🪵',
      n: [1, 0.1, -3e-7, null, true, { deep: { '': 'x', 'a b': [] } }],
      big: '9007199254740993',
    };
    await expectDone(await post('/v1/accounts', { accountId: 'dave', metadata }), { accountId: 'dave' });
    const [event] = await server.store.readStream('account-dave', 0n, 1);
    expect(event?.data).toEqual({ accountId: 'dave', metadata });
  });

  it('refuses one that exists', async () => {
    expectProblem(await post('/v1/accounts', { accountId: 'alice' }), 'account-exists', '/v1/accounts');
  });

  it('writes who asked, and in which trace', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const response = await fetch(`${server.url}/v1/accounts`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': '"traced"', traceparent },
      body: JSON.stringify({ accountId: 'traced' }),
    });
    expect(response.status).toBe(201);
    const [event] = await server.store.readStream('account-traced', 0n, 1);
    expect(event?.metadata).toEqual({
      correlationId: '0af7651916cd43dd8448eb211c80319c',
      traceparent,
      actor: 'anonymous',
      idempotencyKey: 'traced',
    });
  });
});

describe('POST /v1/transfers', () => {
  const path = '/v1/transfers';

  it('moves money', async () => {
    const transfer = { transferId: 'rent', fromAccountId: 'alice', toAccountId: 'bob', amountSats: '1000' };
    await expectDone(await post(path, transfer), transfer);
  });

  it('makes an id of the key where none is given', async () => {
    const transfer = { fromAccountId: 'alice', toAccountId: 'bob', amountSats: '1' };
    const answer = await post(path, transfer);
    await expectDone(answer, transfer);
    expect(answer.body['transferId']).toMatch(/^[0-9a-f-]{36}$/);
    const again = await post(path, { ...transfer, transferId: answer.body['transferId'] });
    expectProblem(again, 'transfer-exists', path);
  });

  it('lets what was received be sent on at once', async () => {
    await post('/v1/accounts', { accountId: 'hop' });
    await expectDone(await post(path, { fromAccountId: 'alice', toAccountId: 'hop', amountSats: '500' }), {});
    await expectDone(await post(path, { fromAccountId: 'hop', toAccountId: 'bob', amountSats: '500' }), {});
    expectProblem(
      await post(path, { fromAccountId: 'hop', toAccountId: 'bob', amountSats: '1' }),
      'insufficient-funds',
      path,
    );
  });

  it.each([
    ['poor', 'bob', '1', 'insufficient-funds'],
    ['nobody', 'bob', '1', 'account-not-found'],
    ['alice', 'nobody', '1', 'account-not-found'],
    ['alice', 'alice', '1', 'transfer-to-self'],
    ['alice', 'bob', '0', 'amount-invalid'],
    ['alice', 'bob', '-5', 'amount-invalid'],
    ['alice', 'bob', '2100000000000001', 'amount-invalid'],
    ['alice', 'bob', '99999999999999999999', 'amount-invalid'],
    ['alice', 'bob', '2100000000000000', 'insufficient-funds'],
  ] as const)('refuses %s to %s, %s satoshis: %s', async (fromAccountId, toAccountId, amountSats, code) => {
    const head = await server.outbox.head();
    expectProblem(await post(path, { fromAccountId, toAccountId, amountSats }), code, path);
    expect(await server.outbox.head()).toBe(head);
  });

  it('takes a transfer id once per sender', async () => {
    const transfer = { transferId: 'once', fromAccountId: 'alice', toAccountId: 'bob', amountSats: '10' };
    await expectDone(await post(path, transfer), { transferId: 'once' });
    expectProblem(await post(path, transfer), 'transfer-exists', path);
    expectProblem(await post(path, { ...transfer, amountSats: '11' }), 'transfer-exists', path);
    await expectDone(await post(path, { ...transfer, fromAccountId: 'bob', toAccountId: 'alice' }), {
      transferId: 'once',
    });
  });
});

describe('wallets', () => {
  const descriptor = `wpkh(${TPUB}/<0;1>/*)`;

  it('are created of a descriptor, and hand out its addresses in order', async () => {
    await expectDone(await post('/v1/wallets', { walletId: 'w1', descriptor }), { walletId: 'w1' });
    await expectDone(await post('/v1/wallets/w1/addresses', { accountId: 'alice' }), { index: 0 });
    const second = await post('/v1/wallets/w1/addresses', {});
    await expectDone(second, { index: 1 });
    expect(second.body['address']).toMatch(/^bcrt1q/);
    expect(second.body['script']).toMatch(/^0014[0-9a-f]{40}$/);
    const [created, first] = await server.store.readStream('wallet-w1', 0n, 10);
    expect(created?.data).toMatchObject({ gapLimit: 20, signer: 'none', network: 'regtest' });
    expect(first?.data).toMatchObject({ accountId: 'alice', branch: 0, index: 0 });
  });

  it('hand out an address without a body, too', async () => {
    const answer = await fetch(`${server.url}/v1/wallets/w1/addresses`, {
      method: 'POST',
      headers: { 'idempotency-key': key() },
    });
    expect(answer.status).toBe(201);
  });

  it('hand out no address that somebody watches by hand', async () => {
    const probe = await post('/v1/wallets', { walletId: 'w2', descriptor: `tr(${TPUB}/5/*)` });
    expect(probe.status).toBe(201);
    const [, second] = derived(`tr(${TPUB}/5/*)`, 3);
    await expectDone(await post('/v1/wallets', { walletId: 'byhand' }), { descriptor: null });
    await expectDone(await post('/v1/wallets/byhand/scripts', { script: second, accountId: 'bob' }), {
      script: second,
    });
    await expectDone(await post('/v1/wallets/w2/addresses', { accountId: 'alice' }), { index: 0 });
    await expectDone(await post('/v1/wallets/w2/addresses', { accountId: 'alice' }), { index: 2 });
  });

  it('make their own keys with signer local', async () => {
    const answer = await post('/v1/wallets', { walletId: 'own:1', signer: 'local', gapLimit: 5 });
    await expectDone(answer, { walletId: 'own:1', signer: 'local' });
    expect(answer.body['descriptor']).toMatch(/^wpkh\(\[[0-9a-f]{8}\/84'\/1'\/0'\]tpub/);
    await expectDone(await post('/v1/wallets/own:1/addresses', {}), { index: 0 });
    const foreign = await post('/v1/wallets', { walletId: 'own:2', signer: 'local', descriptor: `pkh(${TPUB}/9/*)` });
    expectProblem(foreign, 'descriptor-invalid', '/v1/wallets');
  });

  it.each([
    [{ walletId: 'w1', descriptor: `pkh(${TPUB}/3/*)` }, 'wallet-exists'],
    [{ walletId: 'n1', descriptor }, 'descriptor-in-use'],
    [{ walletId: 'n1', descriptor: `wpkh([d34db33f/84'/1'/0']${TPUB}/1/*)` }, 'descriptor-in-use'],
    [{ walletId: 'n1', descriptor: `wpkh(${TPUB}/0)` }, 'descriptor-invalid'],
    [{ walletId: 'n1', changeDescriptor: `wpkh(${TPUB}/8/*)` }, 'descriptor-invalid'],
    [{ walletId: 'n1', descriptor: `wpkh(${TPUB}/8/*)`, changeDescriptor: `wpkh(${TPUB}/8/*)` }, 'descriptor-invalid'],
    [
      { walletId: 'n1', descriptor: `wpkh(${TPUB}/<8;9>/*)`, changeDescriptor: `wpkh(${TPUB}/7/*)` },
      'descriptor-invalid',
    ],
  ] as const)('are refused: %j %s', async (body, code) => {
    const head = await server.outbox.head();
    expectProblem(await post('/v1/wallets', body), code, '/v1/wallets');
    expect(await server.outbox.head()).toBe(head);
  });

  it('never let a private key in, nor any part of it into the answer, the database or the keys', async () => {
    const secret =
      'tprv8gRrNu65W2Msef2BdBSUgFdRTGzC8EwVXnV7UGS3faeXtuMVtGfEdidVeGbThs4ELEoayCAzZQ4uUji9DUiAs7erdVskqju7hrBcDvDsdbY';
    const answer = await post('/v1/wallets', { walletId: 'leak', descriptor: `wpkh(${secret}/0/*)` });
    expectProblem(answer, 'descriptor-invalid', '/v1/wallets');
    expect(JSON.stringify(answer.body)).not.toContain(secret.slice(4, 12));
    const { rows } = await database.pool.query<{ found: boolean }>(
      `SELECT EXISTS (SELECT FROM outbox o WHERE o::text LIKE $1) OR EXISTS (SELECT FROM command_outcome c WHERE c::text LIKE $1) AS found`,
      [`%${secret.slice(4, 12)}%`],
    );
    expect(rows[0]?.found).toBe(false);
  });

  it('refuse addresses where something is missing', async () => {
    const addresses = (id: string): string => `/v1/wallets/${id}/addresses`;
    expectProblem(await post(addresses('none'), {}), 'wallet-not-found', addresses('none'));
    expectProblem(await post(addresses('byhand'), {}), 'wallet-has-no-descriptor', addresses('byhand'));
    expectProblem(await post(addresses('w1'), { accountId: 'nobody' }), 'account-not-found', addresses('w1'));
  });

  it('watch scripts by hand, given in hex or as an address', async () => {
    const path = '/v1/wallets/byhand/scripts';
    const p2pk = '21020102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20ac';
    await expectDone(await post(path, { script: p2pk.toUpperCase(), accountId: 'bob' }), {
      script: p2pk,
      address: null,
    });
    const address = 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080';
    const script = '0014751e76e8199196d454941c45d1b3a323f1433bd6';
    await expectDone(await post(path, { address }), { script, address });
    expectProblem(await post(path, { script }), 'script-already-watched', path);
    expectProblem(
      await post('/v1/wallets/w1/scripts', { address }),
      'script-already-watched',
      '/v1/wallets/w1/scripts',
    );
    expectProblem(
      await post('/v1/wallets/none/scripts', { script: '51' }),
      'wallet-not-found',
      '/v1/wallets/none/scripts',
    );
    expectProblem(await post(path, { script: '52', accountId: 'nobody' }), 'account-not-found', path);
    expectProblem(await post(path, { address: 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4' }), 'address-invalid', path);
    for (const bad of ['', '5', 'zz', '0x51', '51'.repeat(10_001)]) {
      expectProblem(await post(path, { script: bad }), 'script-invalid', path);
    }
  });
});

describe('on mainnet', () => {
  it('no keys are kept', async () => {
    const mainnet = await startCommandServer({ database, network: 'mainnet', ledger: 'mainnet' });
    try {
      const answer = await createLedgerClient(mainnet.url).post(
        '/v1/wallets',
        { walletId: 'hot', signer: 'local' },
        'k1',
      );
      expectProblem(answer, 'signer-not-allowed', '/v1/wallets');
    } finally {
      await mainnet.close();
    }
  });
});
