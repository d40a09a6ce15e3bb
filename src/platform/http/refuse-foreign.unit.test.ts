import { describe, expect, it } from 'vitest';
import { refuseForeign } from './refuse-foreign.js';

describe('a ledger without API keys', () => {
  it.each([
    [{}],
    [{ host: '127.0.0.1:3000' }],
    [{ host: 'localhost:3000', origin: 'http://localhost:3000' }],
    [{ host: '[::1]:3000', origin: 'http://[::1]:3000' }],
    [{ host: 'ledger.localhost', origin: 'http://ledger.localhost' }],
    [{ host: 'my-laptop:3000' }],
  ])('takes requests of its own machine: %o', (headers) => {
    expect(refuseForeign(headers)).toBeUndefined();
  });

  it.each([
    [{ host: '127.0.0.1:3000', origin: 'https://evil.example' }],
    [{ host: 'rebound.evil.example:3000', origin: 'http://rebound.evil.example:3000' }],
    [{ host: 'rebound.evil.example:3000' }],
    [{ host: '127.0.0.1:3000', origin: 'null' }],
    [{ host: '127.0.0.1.evil.example' }],
    [{ host: 'evil.example.' }],
    [{ host: 'a b' }],
  ])('takes none of pages elsewhere: %o', (headers) => {
    expect(refuseForeign(headers)).toMatchObject({ code: 'origin-not-allowed' });
  });
});
