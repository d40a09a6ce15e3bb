import { createHmac } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { createHttpSigner } from './http-signer.js';
import type { PsbtSigner } from './signer.js';

const SECRET = 'a-secret-of-tests';
const REQUEST = { payoutId: 'p1', walletId: 'hot', psbt: Buffer.from('psbt of this test') };
const NOW = Date.UTC(2026, 10, 21, 12);

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

interface Asked {
  headers: IncomingMessage['headers'];
  body: string;
}

async function signerWith(
  answer: (response: ServerResponse) => void,
  options: { timeoutMs?: number } = {},
): Promise<{ signer: PsbtSigner; asked: Asked[]; url: string }> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      asked.push({ headers: request.headers, body });
      answer(response);
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (typeof address !== 'object' || !address) throw new Error('no address');
  const url = `http://127.0.0.1:${address.port}/sign`;
  const timeoutMs = options.timeoutMs ?? 10_000;
  return { signer: createHttpSigner({ url, secret: SECRET, timeoutMs, now: () => NOW }), asked, url };
}

const answering =
  (status: number, body: unknown) =>
  (response: ServerResponse): void => {
    response.writeHead(status).end(typeof body === 'string' ? body : JSON.stringify(body));
  };

describe('a signer behind HTTP', () => {
  it('is asked with time and HMAC, which only who has the secret can make, and never with the secret', async () => {
    const { signer, asked } = await signerWith(answering(200, { psbt: 'c2lnbmVk' }));
    expect(await signer.sign(REQUEST)).toEqual({ kind: 'signed', signed: 'c2lnbmVk' });
    const [{ headers, body } = { headers: {}, body: '' }] = asked;
    expect(JSON.parse(body)).toEqual({
      payoutId: 'p1',
      walletId: 'hot',
      psbt: Buffer.from('psbt of this test').toString('base64'),
    });
    expect(headers['x-tallystick-time']).toBe('2026-11-21T12:00:00.000Z');
    const expected = createHmac('sha256', SECRET).update(`2026-11-21T12:00:00.000Z.${body}`).digest('hex');
    expect(headers['x-tallystick-signature']).toBe(expected);
    expect(JSON.stringify(asked)).not.toContain(SECRET);
  });

  it('is asked with the same bytes each time', async () => {
    const { signer, asked } = await signerWith(answering(202, {}));
    expect(await signer.sign(REQUEST)).toMatchObject({ kind: 'pending' });
    await signer.sign(REQUEST);
    expect(new Set(asked.map(({ body }) => body)).size).toBe(1);
  });

  it.each([
    [400, { reason: 'over the daily limit' }, 'over the daily limit'],
    [403, { detail: 'not this wallet' }, 'not this wallet'],
    [422, 'plain words\u0000\n of it', 'plain words'],
  ])('may refuse (HTTP %d), and says why', async (status, body, words) => {
    const { signer } = await signerWith(answering(status, body));
    const answer = await signer.sign(REQUEST);
    expect(answer).toMatchObject({ kind: 'refused', detail: expect.stringContaining(words) as string });
    expect(JSON.stringify(answer)).not.toContain('\\u0000');
  });

  it.each([
    [200, 'not json'],
    [200, { psbt: 7 }],
    [200, {}],
    [408, 'later'],
    [429, 'too many'],
    [500, 'x'.repeat(5_000)],
    [503, ''],
    [204, ''],
  ])('that answers %d with something of no use is asked again', async (status, body) => {
    const { signer } = await signerWith(answering(status, body));
    const answer = await signer.sign(REQUEST);
    expect(answer.kind).toBe('unavailable');
    expect(answer.kind === 'unavailable' && answer.detail.length).toBeLessThanOrEqual(500);
  });

  it('that never answers is not waited for', async () => {
    const { signer } = await signerWith(() => undefined, { timeoutMs: 100 });
    expect(await signer.sign(REQUEST)).toEqual({
      kind: 'unavailable',
      detail: 'The signer does not answer in time.',
    });
  });

  it('that begins an answer and does not end it is not waited for either', async () => {
    const { signer } = await signerWith((response) => void response.writeHead(200).write('{"psbt":"'), {
      timeoutMs: 200,
    });
    expect(await signer.sign(REQUEST)).toMatchObject({ kind: 'unavailable' });
  });

  it('that never stops answering is cut off', async () => {
    const { signer } = await signerWith((response) => {
      const more = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(1 << 20, 0x20)));
      };
      response.on('drain', more);
      more();
    });
    expect(await signer.sign(REQUEST)).toMatchObject({ kind: 'unavailable', detail: /more than/ });
  });

  it('that sends us elsewhere is not followed', async () => {
    const elsewhere = await signerWith(answering(200, { psbt: 'c2lnbmVk' }));
    const { signer } = await signerWith((response) => response.writeHead(307, { location: elsewhere.url }).end());
    expect(await signer.sign(REQUEST)).toMatchObject({ kind: 'unavailable' });
    expect(elsewhere.asked).toEqual([]);
  });

  it('that is not there is asked again, and its trouble does not name the secret', async () => {
    const { signer } = await signerWith(answering(200, {}));
    const [server] = servers.splice(0);
    await new Promise((resolve) => server?.close(resolve));
    const answer = await signer.sign(REQUEST);
    expect(answer).toMatchObject({ kind: 'unavailable', detail: 'The signer does not answer (ECONNREFUSED).' });
    expect(JSON.stringify(answer)).not.toContain(SECRET);
  });

  it.each(['', 'nonsense', 'ftp://127.0.0.1/', 'http://user:password@127.0.0.1/'])(
    'is not made with %o for its address, which is not repeated',
    (url) => {
      const make = () => createHttpSigner({ url, secret: SECRET, timeoutMs: 1, now: () => 0 });
      expect(make).toThrow(/SIGNER_URL/);
      expect(make).not.toThrow(/password@/);
    },
  );
});
