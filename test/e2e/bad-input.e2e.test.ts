import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { request, type IncomingMessage } from 'node:http';
import { connect as connectSocket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { createLedgerClient } from '../support/ledger-client.js';
import { runTallystick, startLedgerProcess, type LedgerProcess } from '../support/ledger-process.js';
import { makeBlock, makeTransaction, REGTEST_GENESIS, type MadeBlock } from '../support/memory-chain.js';

/** The whole of it, as it is started by a user, and what no well-meaning client sends. */
let dataDir: string;
let ledger: LedgerProcess;
const GENESIS = { hash: REGTEST_GENESIS, height: 0 };
const SPEND = { txid: '33'.repeat(32), vout: 0 };
const pays = [1n, 2n].map((amountSats) => makeTransaction([SPEND], [{ script: Uint8Array.of(0x51), amountSats }]));
const first = makeBlock(GENESIS);
const next = makeBlock(first, { transactions: pays });

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'tallystick-bad-input-'));
  ledger = await startLedgerProcess({ DATA_DIR: dataDir, BITCOIN_SOURCE: 'push' });
  expect((await pushBytes(first.raw)).status).toBe(200);
  const client = createLedgerClient(ledger.url);
  const { status, body } = await client.post('/v1/accounts', { accountId: 'alice' }, 'alice');
  expect(status).toBe(201);
  // What reads below find is there from the beginning.
  await client.graphql('{ ledger { position } }', { minPosition: String(body['position']) });
});

afterAll(async () => {
  // Whatever came in: no failure of ours is in the log, the end is an orderly one, and the books are right.
  try {
    expect(ledger.output()).not.toMatch(/"level":[56]0/);
    expect(await ledger.stop()).toBe(0);
    const verified = await runTallystick(['verify'], { DATA_DIR: dataDir });
    expect(verified.code, verified.stdout + verified.stderr).toBe(0);
  } finally {
    await ledger.kill();
    rmSync(dataDir, { recursive: true, force: true });
  }
});

interface Told {
  status: number;
  type: string;
  text: string;
}

async function send(path: string, init: RequestInit = {}): Promise<Told> {
  const response = await fetch(ledger.url + path, init);
  return { status: response.status, type: response.headers.get('content-type') ?? '', text: await response.text() };
}

function pushBytes(bytes: Uint8Array, type = 'application/octet-stream'): Promise<Told> {
  return send('/v1/chain/blocks', { method: 'POST', headers: { 'content-type': type }, body: new Uint8Array(bytes) });
}

/** Sends the head of a request and the first byte of its body: the answer must not wait for the rest, which would race with it. */
async function announceBlock(length: number): Promise<Told> {
  const sending = request(`${ledger.url}/v1/chain/blocks`, {
    method: 'POST',
    headers: { 'content-type': 'application/octet-stream', 'content-length': length },
  });
  sending.write(Buffer.alloc(1));
  const [response] = (await once(sending, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  sending.destroy();
  return {
    status: response.statusCode ?? 0,
    type: response.headers['content-type'] ?? '',
    text: Buffer.concat(chunks).toString(),
  };
}

let marks = 0;

/** Writes one event and says where: positions are contiguous, so two marks tell whether anything came between them. */
async function mark(): Promise<bigint> {
  const accountId = `mark-${++marks}`;
  const { body } = await createLedgerClient(ledger.url).post('/v1/accounts', { accountId }, accountId);
  return BigInt(String(body['position']));
}

/** A problem of that status and code, nothing of the inside in it, and nothing written. */
async function expectProblem(telling: () => Promise<Told>, status: number, code: string): Promise<void> {
  const before = await mark();
  const told = await telling();
  expect(told).toMatchObject({ status, type: 'application/problem+json; charset=utf-8' });
  expect(JSON.parse(told.text)).toMatchObject({ status, code });
  expect(told.text).not.toMatch(/node_modules|\/dist\/|\.js:\d|SELECT/);
  expect(await mark()).toBe(before + 1n);
}

describe('a block', () => {
  const changed = (change: (bytes: Buffer) => void, block: MadeBlock = next): Buffer => {
    const bytes = Buffer.from(block.raw);
    change(bytes);
    return bytes;
  };
  /** CVE-2012-2459: three transactions, the last one twice, have the same Merkle root, so the header is still right. */
  const lastTwice = (): Buffer => {
    const bytes = Buffer.concat([next.raw, next.transactions.at(-1)?.toBuffer() ?? Buffer.alloc(0)]);
    bytes[80] = next.transactions.length + 1;
    return bytes;
  };

  it.each<[string, () => Uint8Array, number, string, string]>([
    ['cut in its header', () => next.raw.subarray(0, 79), 422, 'block-invalid', 'truncated'],
    ['cut in a transaction', () => next.raw.subarray(0, -1), 422, 'block-invalid', 'truncated'],
    ['with one byte more', () => Buffer.concat([next.raw, Buffer.of(0)]), 422, 'block-invalid', 'trailing-bytes'],
    [
      'with another bit in it',
      () => changed((b) => b.writeUInt8(b.readUInt8(130) ^ 1, 130)),
      422,
      'block-invalid',
      'merkle-root',
    ],
    ['without work', () => changed((b) => b.writeUInt32LE(0x1d00ffff, 72)), 422, 'block-invalid', 'proof-of-work'],
    ['with a transaction twice', lastTwice, 422, 'block-invalid', 'duplicate-transactions'],
    ['that is random', () => Buffer.alloc(4_000, 0xff), 422, 'block-invalid', 'proof-of-work'],
    ['of nothing', () => new Uint8Array(), 422, 'block-invalid', 'truncated'],
    ['on a parent that nobody knows', () => makeBlock(next).raw, 409, 'block-unknown-parent', ''],
    ['that is too long', () => Buffer.alloc(4_000_001), 413, 'body-too-large', ''],
  ])('%s', async (_name, bytes, status, code, reason) => {
    let told = '';
    await expectProblem(
      async () => {
        const answer = await pushBytes(bytes());
        told = answer.text;
        return answer;
      },
      status,
      code,
    );
    expect((JSON.parse(told) as { reason?: string }).reason ?? '').toBe(reason);
  });

  it('that says that it is much too long, before it has come', async () => {
    await expectProblem(() => announceBlock(8_100_000), 413, 'body-too-large');
  });

  it.each([
    ['half a byte', 'abc'],
    ['no hex', 'hello world'],
    ['spaces within', '00 00'],
    ['nothing', ''],
  ])('as text that is %s', async (_name, text) => {
    await expectProblem(() => pushBytes(Buffer.from(text), 'text/plain'), 422, 'block-invalid');
  });

  it('is taken after all that, when it is right', async () => {
    const told = await pushBytes(next.raw);
    expect(told.status).toBe(200);
    expect(JSON.parse(told.text)).toMatchObject({ outcome: 'connected', height: 2 });
  });
});

describe('an address', () => {
  /** As it stands: `fetch` would tidy it up first. */
  const ask = async (line: string, headers = ''): Promise<Told> => {
    const socket = connectSocket(Number(new URL(ledger.url).port), '127.0.0.1');
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.write(`${line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n${headers}\r\n`, 'latin1');
    await once(socket, 'close');
    const [head = '', text = ''] = Buffer.concat(chunks).toString().split('\r\n\r\n');
    const type = /^content-type: (.*)$/im.exec(head)?.[1] ?? '';
    return { status: Number(head.split(' ')[1]), type, text };
  };

  it.each([
    ['/ui/../package.json', 404, 'not-found'],
    ['/ui/%2e%2e/package.json', 404, 'not-found'],
    ['/ui/..%2f..%2fpackage.json', 404, 'not-found'],
    ['/ui/page.js%00', 404, 'not-found'],
    ['/docs/../package.json', 400, 'request-malformed'],
    ['/docs/%2e%2e/%2e%2e/package.json', 400, 'request-malformed'],
    ['/docs/..%2f..%2fpackage.json', 404, 'not-found'],
    ['/docs/%00', 400, 'request-malformed'],
    ['/docs//etc/passwd', 400, 'request-malformed'],
    ['//etc/passwd', 404, 'not-found'],
    ['/v1/accounts/%ff', 400, 'request-malformed'],
    ['/v1/accounts/%00', 400, 'validation-failed'],
    ['/v1/accounts/..%2fbob', 400, 'validation-failed'],
    ['/v1/accounts/alice?position=1&position=2', 400, 'validation-failed'],
    ['/v1/accounts/alice?__proto__=1', 400, 'validation-failed'],
    ['/v1/accounts/alice?time=2026-02-30T00:00:00Z', 400, 'validation-failed'],
  ])('%s', async (path, status, code) => {
    await expectProblem(() => ask(`GET ${path}`), status, code);
  });

  it.each(['TRACE', 'OPTIONS', 'PUT', 'DELETE', 'PATCH', 'PROPFIND'])('%s is not allowed', async (method) => {
    await expectProblem(() => ask(`${method} /v1/accounts/alice`), 405, 'method-not-allowed');
  });

  it('HEAD has the headers of GET and no body, also where it is refused', async () => {
    expect(await ask('HEAD /v1/accounts/alice')).toEqual({
      status: 200,
      type: 'application/json; charset=utf-8',
      text: '',
    });
    expect(await ask('HEAD /v1/accounts/nobody')).toMatchObject({ status: 404, text: '' });
  });

  it.each([
    ['two lengths', 'content-length: 2\r\ncontent-length: 3\r\n'],
    ['a length and chunks', 'content-length: 2\r\ntransfer-encoding: chunked\r\n'],
    ['a header without a name', ': x\r\n'],
    ['a folded header', 'x: a\r\n b\r\n'],
    ['a NUL', 'x: a\0b\r\n'],
    ['chunks that are none', 'transfer-encoding: chunked\r\ncontent-type: application/json\r\n\r\nzz\r\n'],
  ])('with %s is no request', async (_name, headers) => {
    await expectProblem(() => ask('POST /v1/accounts', headers), 400, 'request-malformed');
  });
});

describe('a WebSocket', () => {
  const closedAfter = async (send: (socket: WebSocket) => void): Promise<number> => {
    const socket = new WebSocket(`${ledger.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws');
    await once(socket, 'open');
    // Some of these end with an error of the connection; the code is what counts.
    socket.on('error', () => undefined);
    const closed = once(socket, 'close');
    send(socket);
    return ((await closed) as [number])[0];
  };
  const subscribe = (query: unknown): string => JSON.stringify({ id: '1', type: 'subscribe', payload: { query } });

  it.each<[string, string | Buffer, number]>([
    ['no JSON', '{', 4400],
    ['no object', '[]', 4400],
    ['bytes', Buffer.of(0xff, 0xfe, 0), 4400],
    ['an unknown type', '{"type":"__proto__"}', 4400],
    ['a subscription of no text', subscribe({ kind: 'Document' }), 4400],
    ['a subscription before the greeting', subscribe('{ ledger { id } }'), 4401],
    ['more than a message may have', 'x'.repeat(64 * 1024 + 1), 1009],
  ])('is closed after %s', async (_name, message, code) => {
    expect(await closedAfter((socket) => socket.send(message))).toBe(code);
  });

  it('is closed after a frame that is none', async () => {
    const socket = connectSocket(Number(new URL(ledger.url).port), '127.0.0.1');
    const upgrade = [
      'upgrade: websocket',
      'connection: upgrade',
      'sec-websocket-version: 13',
      'sec-websocket-protocol: graphql-transport-ws',
      `sec-websocket-key: ${Buffer.alloc(16).toString('base64')}`,
    ];
    socket.write(`GET /graphql HTTP/1.1\r\nhost: x\r\n${upgrade.join('\r\n')}\r\n\r\n`);
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 101 /);
    const closed = once(socket, 'data');
    // Reserved bits, an operation that is not defined, no mask.
    socket.write(Buffer.of(0xff, 0x7f, 0xff, 0xff));
    const [frame] = (await closed) as [Buffer];
    expect(frame.readUInt8(0)).toBe(0x88);
    expect(frame.readUInt16BE(2)).toBe(1002);
    socket.destroy();
  });
});
