import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ProblemError } from '../../platform/http/problem.js';
import { readIdempotencyKey } from './idempotency-key.js';

const codeOf = (header: string | string[] | undefined): string => {
  try {
    return `key ${readIdempotencyKey(header)}`;
  } catch (error) {
    if (error instanceof ProblemError) return error.code;
    throw error;
  }
};

describe('readIdempotencyKey', () => {
  it.each([
    ['abc', 'key abc'],
    ['"abc"', 'key abc'],
    ['8e03978e-40d5-43e8-bc93-6894a57f9324', 'key 8e03978e-40d5-43e8-bc93-6894a57f9324'],
    ['a b', 'key a b'],
    ['a"b', 'key a"b'],
    ['"a\\"b\\\\c"', 'key a"b\\c'],
    ['" "', 'key  '],
    ['a,b', 'key a,b'],
    ['k'.repeat(255), `key ${'k'.repeat(255)}`],
    [`"${'k'.repeat(255)}"`, `key ${'k'.repeat(255)}`],
    ['k'.repeat(256), 'idempotency-key-invalid'],
    [`"${'k'.repeat(256)}"`, 'idempotency-key-invalid'],
    ['""', 'idempotency-key-invalid'],
    ['"abc', 'idempotency-key-invalid'],
    ['"a"b"', 'idempotency-key-invalid'],
    ['"a\\b"', 'idempotency-key-invalid'],
    ['"abc";x=1', 'idempotency-key-invalid'],
    ['a\tb', 'idempotency-key-invalid'],
    ['a ', 'idempotency-key-invalid'],
    ['é', 'idempotency-key-invalid'],
    ['a\u007f', 'idempotency-key-invalid'],
    ['', 'idempotency-key-missing'],
    [undefined, 'idempotency-key-missing'],
    [['a', 'b'], 'idempotency-key-invalid'],
  ])('%j: %s', (header, expected) => {
    expect(codeOf(header)).toBe(expected);
  });

  it('reads every quoted string back', () => {
    const printable = fc.string({
      unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)),
      minLength: 1,
      maxLength: 255,
    });
    fc.assert(
      fc.property(printable, (key) => {
        expect(readIdempotencyKey(`"${key.replace(/["\\]/g, '\\$&')}"`)).toBe(key);
      }),
    );
  });
});
