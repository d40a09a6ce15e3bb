import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCommandServer, type CommandServer } from '../../../test/support/command-server.js';
import { createTestDatabase, type TestDatabase } from '../../../test/support/database.js';
import { createLedgerClient } from '../../../test/support/ledger-client.js';
import { PROBLEM_CODES, type ProblemCode } from '../../platform/http/problem-codes.js';

let database: TestDatabase;
let server: CommandServer;
let keys = 0;

beforeAll(async () => {
  database = await createTestDatabase();
  server = await startCommandServer({ database });
  const client = createLedgerClient(server.url);
  for (const accountId of ['alice', 'bob']) await client.post('/v1/accounts', { accountId }, `open-${accountId}`);
  await client.post('/v1/wallets', { walletId: 'hot' }, 'open-hot');
});

afterAll(async () => {
  await server.close();
  await database.drop();
});

interface Told {
  status: number;
  headers: Headers;
  body: Record<string, unknown>;
}

const JSON_HEADERS = { 'content-type': 'application/json' };

async function send(path: string, init: RequestInit = {}): Promise<Told> {
  const response = await fetch(server.url + path, {
    method: 'POST',
    ...init,
    headers: { 'idempotency-key': `bad-${++keys}`, ...JSON_HEADERS, ...init.headers },
  });
  return {
    status: response.status,
    headers: response.headers,
    body: (await response.json()) as Record<string, unknown>,
  };
}

/** What a connection gives back for these bytes until it is closed. */
function raw(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1', () => socket.write(text));
    let answer = '';
    socket.on('data', (data) => (answer += data.toString()));
    socket.on('close', () => {
      resolve(answer);
    });
    socket.on('error', reject);
  });
}

/** Rows of the log and of kept outcomes: a malformed request adds to neither. */
async function written(): Promise<string> {
  const { rows } = await database.pool.query<{ n: string }>(
    `SELECT (SELECT count(*) FROM outbox) || '/' || (SELECT count(*) FROM command_outcome) AS n`,
  );
  return rows[0]?.n ?? '';
}

async function expectRefused(told: Promise<Told>, code: ProblemCode): Promise<Told> {
  const before = await written();
  const answer = await told;
  const { status, title } = PROBLEM_CODES[code];
  expect(answer.body).toMatchObject({ type: `/problems/${code}`, title, status, code });
  expect(answer.status).toBe(status);
  expect(answer.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
  expect(answer.body['traceId']).toMatch(/^(?!0{32})[0-9a-f]{32}$/);
  expect(answer.body['detail']).toBeTypeOf('string');
  expect(answer.body['instance']).toBeTypeOf('string');
  expect(await written()).toBe(before);
  return answer;
}

const account = { accountId: 'new' };
const transfer = { fromAccountId: 'alice', toAccountId: 'bob', amountSats: '1' };
const wallet = { walletId: 'new' };
const nested = (levels: number): unknown => (levels === 0 ? 1 : { a: nested(levels - 1) });

describe('a body that does not match its schema', () => {
  it.each<[string, string, unknown, string[]]>([
    ['no object: array', '/v1/accounts', [], ['']],
    ['no object: string', '/v1/accounts', 'alice', ['']],
    ['no object: null', '/v1/accounts', null, ['']],
    ['nothing in it', '/v1/accounts', {}, ['/accountId']],
    ['nothing in it', '/v1/transfers', {}, ['/fromAccountId', '/toAccountId', '/amountSats']],
    ['nothing in it', '/v1/wallets', {}, ['/walletId']],
    ['unknown field', '/v1/accounts', { ...account, balance: '5' }, ['/balance']],
    ['unknown fields with odd names', '/v1/accounts', { ...account, 'a/b': 1, '~': 2 }, ['/a~1b', '/~0']],
    ['unknown field', '/v1/transfers', { ...transfer, fee: '1' }, ['/fee']],
    ['unknown field', '/v1/wallets', { ...wallet, xprv: 'x' }, ['/xprv']],
    ['unknown field', '/v1/wallets/hot/addresses', { index: 7 }, ['/index']],
    ['unknown field', '/v1/wallets/hot/scripts', { script: '51', label: 'x' }, ['/label']],
    ['id of the wrong type', '/v1/accounts', { accountId: 7 }, ['/accountId']],
    ['id null', '/v1/accounts', { accountId: null }, ['/accountId']],
    ['id empty', '/v1/accounts', { accountId: '' }, ['/accountId']],
    ['id too long', '/v1/accounts', { accountId: 'a'.repeat(65) }, ['/accountId']],
    ['id with a space', '/v1/accounts', { accountId: 'a b' }, ['/accountId']],
    ['id with a slash', '/v1/accounts', { accountId: 'a/b' }, ['/accountId']],
    ['id with a line end', '/v1/accounts', { accountId: 'alice\n' }, ['/accountId']],
    ['id in other letters', '/v1/accounts', { accountId: 'ålice' }, ['/accountId']],
    ['metadata no object', '/v1/accounts', { ...account, metadata: 'x' }, ['/metadata']],
    ['metadata an array', '/v1/accounts', { ...account, metadata: [] }, ['/metadata']],
    ['metadata with NUL', '/v1/accounts', { ...account, metadata: { a: ['b', 'c\u0000'] } }, ['/metadata/a/1']],
    ['metadata with NUL in a name', '/v1/accounts', { ...account, metadata: { 'a\u0000': 1 } }, ['/metadata/a\u0000']],
    ['metadata with half a surrogate pair', '/v1/accounts', { ...account, metadata: { a: '\ud83d' } }, ['/metadata/a']],
    ['metadata too large', '/v1/accounts', { ...account, metadata: { a: 'x'.repeat(16_400) } }, ['/metadata']],
    ['metadata too deep', '/v1/accounts', { ...account, metadata: nested(9) }, ['/metadata/a/a/a/a/a/a/a/a']],
    ['amount a number', '/v1/transfers', { ...transfer, amountSats: 1 }, ['/amountSats']],
    ['amount with a fraction', '/v1/transfers', { ...transfer, amountSats: '1.0' }, ['/amountSats']],
    ['amount with an exponent', '/v1/transfers', { ...transfer, amountSats: '1e3' }, ['/amountSats']],
    ['amount with a plus', '/v1/transfers', { ...transfer, amountSats: '+1' }, ['/amountSats']],
    ['amount with a leading zero', '/v1/transfers', { ...transfer, amountSats: '01' }, ['/amountSats']],
    ['amount with spaces', '/v1/transfers', { ...transfer, amountSats: ' 1' }, ['/amountSats']],
    ['amount in hex', '/v1/transfers', { ...transfer, amountSats: '0x1' }, ['/amountSats']],
    ['amount empty', '/v1/transfers', { ...transfer, amountSats: '' }, ['/amountSats']],
    ['amount in other digits', '/v1/transfers', { ...transfer, amountSats: '١' }, ['/amountSats']],
    ['amount of a thousand digits', '/v1/transfers', { ...transfer, amountSats: '9'.repeat(1_000) }, ['/amountSats']],
    ['amount null', '/v1/transfers', { ...transfer, amountSats: null }, ['/amountSats']],
    ['gap limit 0', '/v1/wallets', { ...wallet, gapLimit: 0 }, ['/gapLimit']],
    ['gap limit too large', '/v1/wallets', { ...wallet, gapLimit: 10_001 }, ['/gapLimit']],
    ['gap limit with a fraction', '/v1/wallets', { ...wallet, gapLimit: 1.5 }, ['/gapLimit']],
    ['gap limit a string', '/v1/wallets', { ...wallet, gapLimit: '20' }, ['/gapLimit']],
    ['signer unknown', '/v1/wallets', { ...wallet, signer: 'usb' }, ['/signer']],
    ['descriptor too long', '/v1/wallets', { ...wallet, descriptor: 'x'.repeat(1_001) }, ['/descriptor']],
    ['descriptor no text', '/v1/wallets', { ...wallet, descriptor: {} }, ['/descriptor']],
    ['neither script nor address', '/v1/wallets/hot/scripts', {}, ['']],
    ['script and address', '/v1/wallets/hot/scripts', { script: '51', address: 'x' }, ['']],
    ['script too long', '/v1/wallets/hot/scripts', { script: '51'.repeat(10_002) }, ['/script']],
    ['script no text', '/v1/wallets/hot/scripts', { script: 51 }, ['/script']],
    ['account id wrong', '/v1/wallets/hot/addresses', { accountId: '?' }, ['/accountId']],
    ['wallet id wrong', '/v1/wallets/a%20b/addresses', {}, ['/walletId']],
    ['wallet id too long', `/v1/wallets/${'a'.repeat(65)}/scripts`, { script: '51' }, ['/walletId']],
  ])('%s: %s', async (_name, path, body, pointers) => {
    const answer = await expectRefused(send(path, { body: JSON.stringify(body) }), 'validation-failed');
    const errors = answer.body['errors'] as { pointer: string; detail: string }[];
    expect(errors.map(({ pointer }) => pointer)).toEqual(pointers);
    for (const { detail } of errors) expect(detail.length).toBeGreaterThan(5);
  });

  it('numbers beyond 2^53 in metadata, which the parser has changed already', async () => {
    for (const number of ['9007199254740993', '-1e300', '1e400']) {
      const body = `{"accountId":"new","metadata":{"n":[${number}]}}`;
      const answer = await expectRefused(send('/v1/accounts', { body }), 'validation-failed');
      expect(answer.body['errors']).toMatchObject([{ pointer: '/metadata/n/0' }]);
    }
  });

  it('tells at most twenty errors, and cuts long names', async () => {
    const body = JSON.stringify(
      Object.fromEntries(Array.from({ length: 5_000 }, (_, n) => [`${'x'.repeat(100)}${n}`, n])),
    );
    const answer = await expectRefused(send('/v1/accounts', { body }), 'validation-failed');
    expect(answer.body['errors']).toHaveLength(20);
    const long = await expectRefused(
      send('/v1/accounts', { body: JSON.stringify({ ...account, ['y'.repeat(10_000)]: 1 }) }),
      'validation-failed',
    );
    expect(JSON.stringify(long.body).length).toBeLessThan(1_500);
  });
});

describe('a body that cannot be read', () => {
  it.each<[string, RequestInit, ProblemCode]>([
    ['cut JSON', { body: '{"accountId":"x"' }, 'json-malformed'],
    ['no JSON', { body: 'accountId=x' }, 'json-malformed'],
    ['NaN', { body: '{"accountId":NaN}' }, 'json-malformed'],
    ['a prototype', { body: '{"accountId":"x","__proto__":{"a":1}}' }, 'json-malformed'],
    ['a constructor', { body: '{"accountId":"x","constructor":{"prototype":{}}}' }, 'json-malformed'],
    ['empty', { body: '' }, 'json-malformed'],
    ['deep brackets', { body: '['.repeat(500_000) + ']'.repeat(500_000) }, 'validation-failed'],
    ['no UTF-8', { body: Buffer.from('{"accountId":"x","metadata":{"a":"\xff\xfe"}}', 'latin1') }, 'json-malformed'],
    [
      'compressed',
      { body: gzipSync('{"accountId":"x"}'), headers: { 'content-encoding': 'gzip' } },
      'unsupported-media-type',
    ],
    [
      'a coding that it is not in',
      { body: '{"accountId":"x"}', headers: { 'content-encoding': 'br' } },
      'unsupported-media-type',
    ],
    [
      'too large',
      { body: JSON.stringify({ accountId: 'x', metadata: { a: 'x'.repeat(1_100_000) } }) },
      'body-too-large',
    ],
    [
      'a form',
      { body: 'a=1', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
      'unsupported-media-type',
    ],
    ['text', { body: JSON.stringify(account), headers: { 'content-type': 'text/plain' } }, 'unsupported-media-type'],
    ['bytes', { body: '{}', headers: { 'content-type': 'application/octet-stream' } }, 'unsupported-media-type'],
    ['no content type', { body: new Blob(['{}']), headers: { 'content-type': '' } }, 'unsupported-media-type'],
    ['an odd content type', { body: '{}', headers: { 'content-type': 'json' } }, 'unsupported-media-type'],
  ])('%s', async (_name, init, code) => {
    const answer = await expectRefused(send('/v1/accounts', init), code);
    if (code !== 'unsupported-media-type') return;
    const coding = new Headers(init.headers).has('content-encoding');
    expect(answer.headers.get(coding ? 'accept-encoding' : 'accept-post')).toBe(
      coding ? 'identity' : 'application/json',
    );
  });
});

describe('an Idempotency-Key', () => {
  const withKey = (key: string | undefined): Promise<Told> =>
    fetch(`${server.url}/v1/accounts`, {
      method: 'POST',
      headers: { ...JSON_HEADERS, ...(key === undefined ? {} : { 'idempotency-key': key }) },
      body: JSON.stringify(account),
    }).then(async (response) => ({
      status: response.status,
      headers: response.headers,
      body: (await response.json()) as Record<string, unknown>,
    }));

  it('must be there', async () => {
    await expectRefused(withKey(undefined), 'idempotency-key-missing');
    await expectRefused(withKey(''), 'idempotency-key-missing');
  });

  it.each([
    ['too long', 'k'.repeat(256)],
    ['an open quote', '"abc'],
    ['an empty string', '""'],
    ['not ASCII', 'clé'],
    ['a wrong escape', '"a\\b"'],
  ])('must not be %s', async (_name, key) => {
    await expectRefused(withKey(key), 'idempotency-key-invalid');
  });

  it('must be one', async () => {
    const body = '{"accountId":"two-keys"}';
    const told = raw(
      `POST /v1/accounts HTTP/1.1\r\nhost: x\r\nidempotency-key: a\r\nidempotency-key: b\r\ncontent-type: application/json\r\n` +
        `content-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
    );
    expect(JSON.parse((await told).split('\r\n\r\n')[1] ?? '')).toMatchObject({ code: 'idempotency-key-invalid' });
  });

  it('may have 255 characters', async () => {
    const long = await createLedgerClient(server.url).post('/v1/accounts', { accountId: 'long-key' }, 'k'.repeat(255));
    expect(long.status).toBe(201);
  });
});

describe('an address or a method that is not there', () => {
  it('is a problem, too', async () => {
    await expectRefused(send('/v1/nothing', { body: '{}' }), 'not-found');
    await expectRefused(send('/v1/accounts/', { body: '{}' }), 'not-found');
    await expectRefused(send('/dev/chain/mine', { body: '{"blocks":1}' }), 'not-found');
    await expectRefused(send('/v1/%zz', { body: '{}' }), 'request-malformed');
    await expectRefused(send(`/v1/wallets/${'a'.repeat(500)}/scripts`, { body: '{}' }), 'uri-too-long');
    for (const method of ['GET', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
      const answer = await expectRefused(send('/v1/wallets/hot/scripts?x=1', { method }), 'method-not-allowed');
      expect(answer.headers.get('allow')).toBe('POST');
      expect(answer.body['instance']).toBe('/v1/wallets/hot/scripts');
    }
  });

  it('also where it is not HTTP at all, or has too many headers', async () => {
    const garbage = await raw('\x16\x03\x01 hello\r\n\r\n');
    expect(garbage).toMatch(/^HTTP\/1\.1 400 Bad Request\r\ncontent-type: application\/problem\+json/);
    expect(JSON.parse(garbage.split('\r\n\r\n')[1] ?? '')).toMatchObject({ code: 'request-malformed', status: 400 });
    const headers = await raw(`POST /v1/accounts HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`);
    expect(JSON.parse(headers.split('\r\n\r\n')[1] ?? '')).toMatchObject({ code: 'headers-too-large', status: 431 });
  });

  it('also where Node would answer by itself, with nothing in it', async () => {
    const expected = await raw('POST /v1/accounts HTTP/1.1\r\nhost: x\r\nexpect: tea\r\ncontent-length: 0\r\n\r\n');
    expect(expected).toMatch(/^HTTP\/1\.1 417 Expectation Failed\r\n/);
    expect(JSON.parse(expected.split('\r\n\r\n')[1] ?? '')).toMatchObject({ code: 'expectation-failed', status: 417 });
    const tunnel = await raw('CONNECT example.org:443 HTTP/1.1\r\nhost: x\r\n\r\n');
    expect(tunnel).toMatch(/^HTTP\/1\.1 405 Method Not Allowed\r\n/);
    expect(JSON.parse(tunnel.split('\r\n\r\n')[1] ?? '')).toMatchObject({ code: 'method-not-allowed', status: 405 });
  });

  it('carries the trace that the caller named', async () => {
    const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
    const answer = await send('/v1/nothing', { headers: { traceparent: `00-${trace}-00f067aa0ba902b7-01` } });
    expect(answer.body['traceId']).toBe(trace);
  });
});
