import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NotStorableError, toStorableJson } from './event-json.js';

describe('storable JSON', () => {
  it('is JSON', () => {
    expect(toStorableJson({ a: [1, 'x', null, true, { b: -1.5 }], left: undefined })).toBe(
      '{"a":[1,"x",null,true,{"b":-1.5}]}',
    );
    expect(toStorableJson(Number.MAX_SAFE_INTEGER)).toBe('9007199254740991');
  });

  it.each([
    ['a number beyond 2^53', { a: [0, 2 ** 53] }, '/a/1'],
    ['NaN', { a: NaN }, '/a'],
    ['infinity', [-Infinity], '/0'],
    ['a NUL character', { a: { b: 'x\0y' } }, '/a/b'],
    ['a NUL character in a name', { 'a\0': 1 }, '/a\0'],
    ['half of a surrogate pair', ['\ud800'], '/0'],
    ['half of a surrogate pair in a name', { a: { '\udfff': 1 } }, '/a/\udfff'],
    ['a bigint', { amountSats: 1n }, '/amountSats'],
    ['undefined in a list', [undefined], '/0'],
    ['nothing at all', undefined, ''],
    ['a date', { at: new Date(0) }, '/at'],
    ['bytes', { script: Buffer.from('00', 'hex') }, '/script'],
    ['a map', new Map(), ''],
  ])('refuses %s and says where', (_, value, pointer) => {
    let thrown: unknown;
    try {
      toStorableJson(value);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(NotStorableError);
    expect((thrown as NotStorableError).pointer).toBe(pointer);
  });

  it('takes what only looks like what it refuses', () => {
    for (const value of [
      '\\u0000',
      '\\ud800',
      '\u0001\u001f',
      '\ud83d\ude00',
      Object.assign(Object.create(null) as object, { a: 1 }),
    ]) {
      expect(JSON.parse(toStorableJson({ value }))).toEqual({ value });
    }
  });

  it('refuses nesting without end instead of running out of stack', () => {
    const loop: Record<string, unknown> = {};
    loop['self'] = loop;
    expect(() => toStorableJson(loop)).toThrow(/nested deeper/);
  });

  it('takes every JSON value that holds none of those, and it comes back equal', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
        let text: string;
        try {
          text = toStorableJson(value);
        } catch (error) {
          expect(error).toBeInstanceOf(NotStorableError);
          return;
        }
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });
});
