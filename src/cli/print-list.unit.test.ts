import { expect, test } from 'vitest';
import { printList } from './print-list.js';

function printed(json: boolean, rows: { id: string; sats: bigint }[]): string {
  let text = '';
  const out = {
    write: (chunk: string) => {
      text += chunk;
      return true;
    },
  };
  printList(json, rows, ({ id, sats }) => ({ id, sats: String(sats) }), 'nothing', out as never);
  return text;
}

test('columns line up, and nothing is said plainly', () => {
  expect(
    printed(false, [
      { id: 'a', sats: 5n },
      { id: 'long', sats: 12n },
    ]),
  ).toBe('id    sats\na     5\nlong  12\n');
  expect(printed(false, [])).toBe('nothing\n');
});

test('as JSON, amounts stay exact and an empty list is no line', () => {
  expect(printed(true, [{ id: 'a', sats: 9_007_199_254_740_993n }])).toBe('{"id":"a","sats":"9007199254740993"}\n');
  expect(printed(true, [])).toBe('');
});
