import { describe, expect, it } from 'vitest';
import { createAuthenticate } from './api-keys.js';
import { KnownRoutes } from './known-routes.js';
import { uriReference } from './uri-reference.js';
import { createRandomHex } from './random-hex.js';
import { readTraceContext } from './trace-context.js';

describe('KnownRoutes', () => {
  const routes = new KnownRoutes();
  routes.add('/v1/wallets/:walletId/addresses', ['POST']);
  routes.add('/v1/wallets/:id', ['GET', 'HEAD']);
  routes.add('/v1/wallets', ['POST']);
  routes.add('/docs/*', ['GET']);

  it.each([
    ['/v1/wallets', ['POST']],
    ['/v1/wallets/a', ['GET', 'HEAD']],
    ['/v1/wallets/a/addresses', ['POST']],
    ['/v1/wallets/', []],
    ['/v1/wallets//addresses', []],
    ['/v1', []],
    ['/docs/x', []],
  ])('%s: %j', (path, methods) => {
    expect(routes.methodsAt(path)).toEqual(methods);
  });
});

describe('what is public', () => {
  const routes = new KnownRoutes();
  routes.add('/health/:part', ['GET'], true);
  routes.add('/v1/wallets', ['POST']);

  it.each([
    ['/health/live', true],
    ['/health/', false],
    ['/health/live/x', false],
    ['/v1/wallets', false],
    ['/nothing', false],
  ])('%s: %j', (path, isPublic) => {
    expect(routes.isPublicAt(path)).toBe(isPublic);
  });
});

describe('uriReference', () => {
  it.each([
    ['/v1/accounts/a_b:c.d-e', '/v1/accounts/a_b:c.d-e'],
    ['/v1/%F0%9D%95%8B/%2e', '/v1/%F0%9D%95%8B/%2e'],
    ['/cut/%F0%9', '/cut/%F0'],
    ['/cut/%', '/cut/'],
    ['/%zz/%', '/%25zz/'],
    ['/a b"<>\\^`{|}', '/a%20b%22%3C%3E%5C%5E%60%7B%7C%7D'],
    ['/\xff[', '/%FF%5B'],
    ['//host:port/x', '/.//host:port/x'],
    ['*', '*'],
  ])('%s: %s', (path, reference) => {
    expect(uriReference(path)).toBe(reference);
    expect(new URL(reference, 'http://here.example').host).toBe('here.example');
  });
});

describe('readTraceContext', () => {
  const random = (): string => 'a'.repeat(32) + 'b'.repeat(16);
  const fresh = { traceId: 'a'.repeat(32), traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-00` };
  const valid = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

  it('goes on with the trace of the caller', () => {
    expect(readTraceContext(valid, random)).toEqual({
      traceId: '0af7651916cd43dd8448eb211c80319c',
      traceparent: valid,
    });
  });

  it.each([
    undefined,
    '',
    'x',
    valid.toUpperCase(),
    `${valid}-more`,
    valid.replace('00-', 'ff-'),
    `00-${'0'.repeat(32)}-b7ad6b7169203331-01`,
    `00-0af7651916cd43dd8448eb211c80319c-${'0'.repeat(16)}-01`,
    [valid, valid],
  ])('begins its own where there is none: %j', (header) => {
    expect(readTraceContext(header, random)).toEqual(fresh);
  });
});

describe('createAuthenticate', () => {
  it('knows each key by a name that does not tell the key', () => {
    const authenticate = createAuthenticate(['one-key-0123456789', 'two-key-0123456789']);
    const [one, two] = ['Bearer one-key-0123456789', 'bearer  two-key-0123456789'].map(authenticate);
    expect(one).toMatch(/^key:[0-9a-f]{12}$/);
    expect(two).toMatch(/^key:[0-9a-f]{12}$/);
    expect(one).not.toBe(two);
  });

  it.each([
    undefined,
    '',
    'Bearer',
    'Bearer ',
    'one-key-0123456789',
    'Bearer one-key-012345678',
    'Bearer one-key-0123456789, x',
    'Basic one-key-0123456789',
  ])('refuses %j', (header) => {
    expect(createAuthenticate(['one-key-0123456789'])(header)).toBeUndefined();
  });

  it('lets everybody in where there are no keys', () => {
    expect(createAuthenticate(undefined)(undefined)).toBe('anonymous');
  });
});

describe('createRandomHex', () => {
  it('gives so many bytes each time, and none twice, also where its pool begins anew', () => {
    const randomHex = createRandomHex(24);
    const given = Array.from({ length: 1_000 }, randomHex);
    expect(given.filter((text) => !/^[0-9a-f]{48}$/.test(text))).toEqual([]);
    // Halves too: no two answers may share bytes of the pool.
    expect(new Set(given.flatMap((text) => [text.slice(0, 24), text.slice(24)])).size).toBe(2_000);
  });
});
