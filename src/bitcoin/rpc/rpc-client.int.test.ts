import { createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { SourceConfigurationError, SourceError } from '../block-source.js';
import { createRpcClient, type RpcClientOptions } from './rpc-client.js';
import { RpcError } from './rpc-error.js';
import type { Timers } from './timers.js';

const PASSWORD = 'pass-w/rd';
const servers: { server: Server; sockets: Set<Socket> }[] = [];

afterEach(async () => {
  for (const { server, sockets } of servers.splice(0)) {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
});

/** A peer on loopback that gives `answer` to a complete request: bytes as they are, and what to do afterwards. */
async function peer(answer: (request: string, socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    let received = '';
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
      const [head = '', body] = received.split('\r\n\r\n');
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1]);
      if (body !== undefined && body.length >= length) answer(received, socket);
    });
  });
  servers.push({ server, sockets });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (typeof address !== 'object' || !address) throw new Error('no address');
  return `http://user:${encodeURIComponent(PASSWORD)}@127.0.0.1:${address.port}`;
}

const http = (status: string, body: string, length = body.length): string =>
  `HTTP/1.1 ${status}\r\nContent-Length: ${length}\r\nConnection: close\r\n\r\n${body}`;
const answering = (text: string) => peer((_, socket) => socket.end(text));

function client(url: string, options: Partial<RpcClientOptions> = {}) {
  return createRpcClient({ url, ...options });
}

async function failureOf(run: Promise<unknown>): Promise<SourceError> {
  const error: unknown = await run.then(
    (value) => new Error(`it answered ${JSON.stringify(value)}`),
    (reason: unknown) => reason,
  );
  if (!(error instanceof SourceError)) throw error;
  return error;
}

describe('a call', () => {
  it('sends method, positional parameters, id and version, and user and password of the URL', async () => {
    let seen = '';
    const url = await peer((request, socket) => {
      seen = request;
      socket.end(http('200 OK', '{"result":5,"error":null,"id":1}'));
    });
    expect(await client(url).call('getblockhash', [0])).toBe(5);
    const [head = '', body = ''] = seen.split('\r\n\r\n');
    expect(JSON.parse(body)).toEqual({ jsonrpc: '1.0', id: 1, method: 'getblockhash', params: [0] });
    const basic = /authorization: Basic (\S+)/i.exec(head)?.[1] ?? '';
    expect(Buffer.from(basic, 'base64').toString()).toBe(`user:${PASSWORD}`);
  });

  it.each(['200 OK', '500 Internal Server Error', '404 Not Found'])(
    'keeps code and words of the node with HTTP %s',
    async (status) => {
      const url = await answering(
        http(status, '{"result":null,"error":{"code":-5,"message":"Block not found"},"id":1}'),
      );
      const error = await client(url)
        .call('getblock')
        .catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(RpcError);
      expect(error).toMatchObject({ code: -5, nodeMessage: 'Block not found', method: 'getblock', retryable: false });
    },
  );

  it('says that a node that is still loading may be asked again', async () => {
    const url = await answering(
      http('500 x', '{"result":null,"error":{"code":-28,"message":"Loading block index"},"id":1}'),
    );
    await expect(client(url).call('getblockcount')).rejects.toMatchObject({ code: -28, retryable: true });
  });
});

describe('what is no answer', () => {
  it.each([
    ['wrong password', http('401 Unauthorized', '401 Unauthorized.'), 'unauthorised', false],
    ['forbidden', http('403 Forbidden', ''), 'unauthorised', false],
    ['too busy', http('503 Service Unavailable', '503 Too busy.  Try again later.'), 'unavailable', false],
    ['a gateway that gave up', http('504 Gateway Timeout', '<html>'), 'unavailable', true],
    ['an empty body', http('200 OK', ''), 'malformed-answer', true],
    ['a page of HTML', http('200 OK', '<!doctype html><title>Welcome</title>'), 'malformed-answer', true],
    ['JSON cut off, the connection ending in order', http('200 OK', '{"result":"00'), 'malformed-answer', true],
    [
      'a redirect',
      'HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n',
      'malformed-answer',
      true,
    ],
    ['JSON that is no answer', http('200 OK', '{"hello":{}}'), 'malformed-answer', true],
    ['JSON with an error of unknown form', http('200 OK', '{"error":"no","id":1}'), 'malformed-answer', true],
    ['the answer to another call', http('200 OK', '{"result":1,"error":null,"id":7}'), 'malformed-answer', true],
    ['a bare number', http('200 OK', '17'), 'malformed-answer', true],
  ])('tells apart: %s', async (_, text, trouble, maybeApplied) => {
    const error = await failureOf(client(await answering(text)).call('sendrawtransaction', ['00']));
    expect(error.trouble).toBe(trouble);
    expect(error.facts['maybeApplied']).toBe(maybeApplied);
  });

  it('tells apart: refused', async () => {
    const url = await answering('');
    const [last] = servers.splice(0);
    await new Promise((resolve) => last?.server.close(resolve));
    const error = await failureOf(client(url).call('getblockcount'));
    expect(error).toMatchObject({ trouble: 'unavailable', facts: { wire: 'refused', maybeApplied: false } });
  });

  it.each([
    ['reset before the answer', (socket: Socket) => socket.resetAndDestroy()],
    ['closed without an answer', (socket: Socket) => socket.end()],
    ['cut within the answer', (socket: Socket) => socket.end(http('200 OK', '{"result":', 900))],
  ])('tells apart: %s, and that the node may have done it', async (_, act) => {
    const error = await failureOf(client(await peer((__, socket) => act(socket))).call('sendrawtransaction'));
    expect(error).toMatchObject({ trouble: 'unavailable', facts: { wire: 'reset', maybeApplied: true } });
  });

  it('tells apart: no answer in time, by its own clock', async () => {
    const pending = new Map<number, () => void>();
    const timers: Timers = {
      after(milliseconds, callback) {
        pending.set(milliseconds, callback);
        return () => pending.delete(milliseconds);
      },
    };
    const url = await peer(() => pending.get(222)?.());
    const error = await failureOf(
      client(url, { connectTimeoutMs: 111, answerTimeoutMs: 222, timers }).call('getblockcount'),
    );
    expect(error).toMatchObject({ trouble: 'unavailable', facts: { wire: 'answer-timeout', maybeApplied: true } });
    expect(pending.has(111)).toBe(false);
  });

  it('tells apart: no connection in time', async () => {
    const timers: Timers = {
      after(milliseconds, callback) {
        // Before any connection can be there.
        if (milliseconds === 111) queueMicrotask(callback);
        return () => undefined;
      },
    };
    const url = await answering(http('200 OK', '{"result":1,"error":null,"id":1}'));
    const options = { connectTimeoutMs: 111, answerTimeoutMs: 222, timers };
    const error = await failureOf(client(url, options).call('getblockcount'));
    expect(error).toMatchObject({ trouble: 'unavailable', facts: { wire: 'connect-timeout', maybeApplied: false } });
  });

  it('tells apart: more than is allowed', async () => {
    const url = await answering(http('200 OK', `{"result":"${'0'.repeat(5_000)}","error":null,"id":1}`));
    const error = await failureOf(client(url, { maxAnswerBytes: 4_096 }).call('getblock'));
    expect(error).toMatchObject({ trouble: 'unavailable', facts: { wire: 'answer-too-large' } });
  });

  it('breaks off what is under way when it is closed', async () => {
    let asked: () => void = () => undefined;
    const arrived = new Promise<void>((resolve) => (asked = resolve));
    const rpc = client(await peer(() => asked()));
    const failure = failureOf(rpc.call('getblockcount'));
    await arrived;
    rpc.close();
    expect((await failure).facts['wire']).toBe('closed');
  });
});

describe('many calls at once', () => {
  it('are asked four at a time, and all answered', async () => {
    let open = 0;
    let most = 0;
    const url = await peer((request, socket) => {
      open += 1;
      most = Math.max(most, open);
      const { id } = JSON.parse(request.split('\r\n\r\n')[1] ?? '') as { id: number };
      setImmediate(() => {
        open -= 1;
        socket.end(http('200 OK', JSON.stringify({ id, result: id, error: null })));
      });
    });
    const rpc = client(url);
    const answers = await Promise.all(Array.from({ length: 40 }, () => rpc.call('getblockcount')));
    expect(answers).toEqual(Array.from({ length: 40 }, (_, index) => index + 1));
    expect(most).toBeLessThanOrEqual(4);
  });

  it('are refused at once when the client is closed', async () => {
    const rpc = client(await peer(() => undefined));
    rpc.close();
    expect((await failureOf(rpc.call('getblockcount'))).facts['wire']).toBe('closed');
  });
});

describe('a batch', () => {
  it('gives answers in the order asked, whatever their order, with the error of one call in its place', async () => {
    const url = await peer((request, socket) => {
      const [first, second, third] = JSON.parse(request.split('\r\n\r\n')[1] ?? '') as { id: number }[];
      const answers = [
        { id: third?.id, result: 'c', error: null },
        { id: first?.id, result: 'a', error: null },
        { id: second?.id, result: null, error: { code: -8, message: 'out of range' } },
      ];
      socket.end(http('200 OK', JSON.stringify(answers)));
    });
    const [a, b, c] = await client(url).batch([{ method: 'x' }, { method: 'y' }, { method: 'z' }]);
    expect([a, c]).toEqual([{ result: 'a' }, { result: 'c' }]);
    expect(b).toBeInstanceOf(RpcError);
    expect(b).toMatchObject({ code: -8, method: 'y' });
  });

  it('is not complete when an answer is missing', async () => {
    const url = await answering(http('200 OK', '[{"id":1,"result":1,"error":null}]'));
    const error = await failureOf(client(url).batch([{ method: 'x' }, { method: 'y' }]));
    expect(error.trouble).toBe('malformed-answer');
  });

  it('of nothing asks nothing', async () => {
    const url = await peer(() => expect.fail('asked'));
    expect(await client(url).batch([])).toEqual([]);
  });
});

describe('the URL', () => {
  it.each(['', 'nonsense', 'ftp://user:secret@host', 'http://user:sec%ret@host:1/'])(
    '%j is refused without repeating it',
    (url) => {
      const attempt = () => createRpcClient({ url });
      expect(attempt).toThrow(SourceConfigurationError);
      expect(attempt).not.toThrow(/secret|sec%ret/);
    },
  );

  it('is never shown with its password: not by the client, not in errors, not in their facts or causes', async () => {
    const rpc = client(await answering(http('401 x', '')));
    const error = await failureOf(rpc.call('getblockcount'));
    const shown = [rpc.node, error.message, error.stack, JSON.stringify(error.facts), String(error.cause)].join(' ');
    expect(shown).toContain('127.0.0.1');
    for (const secret of [PASSWORD, encodeURIComponent(PASSWORD), Buffer.from(`user:${PASSWORD}`).toString('base64')]) {
      expect(shown).not.toContain(secret);
    }
  });
});
