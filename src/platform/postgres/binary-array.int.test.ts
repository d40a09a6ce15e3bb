import { afterAll, beforeAll, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../../test/support/database.js';
import {
  boolArray,
  byteaArray,
  int4Array,
  int8Array,
  jsonbArray,
  textArray,
  timestamptzArray,
  uuidArray,
} from './binary-array.js';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

const UUID = '00112233-4455-8677-8899-aabbccddeeff';

it.each<[type: string, array: Buffer, values: unknown[]]>([
  ['int4', int4Array([0, -1, 2_147_483_647, -2_147_483_648, null]), [0, -1, 2_147_483_647, -2_147_483_648, null]],
  ['int8', int8Array([0n, -1n, 2n ** 63n - 1n, null, 5n]), [0n, -1n, 2n ** 63n - 1n, null, 5n]],
  ['bool', boolArray([true, null, false]), [true, null, false]],
  [
    'timestamptz',
    timestamptzArray([new Date(0), new Date('1999-12-31T23:59:59.999Z'), null, new Date('2026-11-21T17:58:46.001Z')]),
    [new Date(0), new Date('1999-12-31T23:59:59.999Z'), null, new Date('2026-11-21T17:58:46.001Z')],
  ],
  ['text', textArray(['', '"{},\\', 'ü€😀', null]), ['', '"{},\\', 'ü€😀', null]],
  ['jsonb', jsonbArray(['{"a":[1,"\\""]}', null, 'null']), [{ a: [1, '"'] }, null, null]],
  ['bytea', byteaArray(['00ff', null, '']), [Buffer.from('00ff', 'hex'), null, Buffer.alloc(0)]],
  ['uuid', uuidArray([UUID]), [UUID]],
  ['int4', int4Array([]), []],
])('%s comes as it was given', async (type, array, values) => {
  const { rows } = await database.pool.query<{ v: unknown }>(`SELECT v FROM unnest($1::${type}[]) AS v`, [array]);
  expect(rows.map(({ v }) => v)).toEqual(values);
});
