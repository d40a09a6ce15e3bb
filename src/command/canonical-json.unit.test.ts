import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalJson } from './canonical-json.js';

describe('canonicalJson', () => {
  it('does not depend on the order of members', () => {
    expect(canonicalJson({ b: 1, a: [{ d: null, c: 'x' }] })).toBe('{"a":[{"c":"x","d":null}],"b":1}');
  });

  it('leaves out what is undefined, and writes bigint as text', () => {
    expect(canonicalJson({ a: undefined, b: 12n })).toBe('{"b":"12"}');
  });

  it('is JSON of the same value, and the same for what is the same', () => {
    const shuffled = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(shuffled);
      if (typeof value !== 'object' || value === null) return value;
      return Object.fromEntries(
        Object.entries(value)
          .reverse()
          .map(([name, member]) => [name, shuffled(member)]),
      );
    };
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
        const text = canonicalJson(value);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
        expect(canonicalJson(shuffled(value))).toBe(text);
      }),
    );
  });

  it('tells apart what is not the same', () => {
    const texts = [{}, [], null, '', 0, '0', { a: 1 }, { a: '1' }, [1], { a: { b: 1 } }, { 'a:{"b"': 1 }].map(
      canonicalJson,
    );
    expect(new Set(texts).size).toBe(texts.length);
  });
});
