import {
  boolArray,
  int4Array,
  int8Array,
  jsonbArray,
  textArray,
  timestamptzArray,
} from '../../platform/postgres/binary-array.js';
import { sqlType } from './ddl.js';
import { quoted } from './identifiers.js';
import type { Rung } from './ladder-table.js';
import { intervalColumns, isPresentOnly, keyColumns, physicalColumns } from './table-definition.js';
import type { ColumnType, PhysicalColumn, TableDefinition } from './table-definition.js';
import type { Changes, Version } from './version.js';

export interface TableChanges {
  table: TableDefinition;
  changes: Changes;
}

/** One SQL statement and its parameters. */
export interface Statement {
  text: string;
  values: unknown[];
}

/** Expression that a statement selects in the end, with its parameters: they are the first. */
export interface StatementEnd {
  expression: string;
  values: readonly unknown[];
}

/**
 * Everything that a batch changes as one statement: one round trip, one transaction. `finish` is the
 * checkpoint's guard, which raises where another runner was faster.
 */
export function writeStatement(schema: string, tables: readonly TableChanges[], finish: StatementEnd): Statement {
  const values: unknown[] = [...finish.values];
  const parts: string[] = [];
  for (const { table, changes } of tables) {
    if (changes.inserts.length > 0) parts.push(insertPart(schema, table, changes.inserts, values));
    if (changes.closes.length > 0) parts.push(closePart(schema, table, changes.closes, values));
  }
  const text = parts.length === 0 ? '' : `WITH ${parts.map((part, i) => `w${i} AS (${part})`).join(', ')} `;
  return { text: `${text}SELECT ${finish.expression}`, values };
}

function insertPart(
  schema: string,
  table: TableDefinition,
  inserts: readonly Version<object>[],
  values: unknown[],
): string {
  const columns = physicalColumns(table);
  const selected: string[] = [];
  const arrays: string[] = [];
  const addArray = (array: unknown, type: string, cast: string): void => {
    values.push(array);
    arrays.push(`$${values.length}::${type}[]`);
    selected.push(`i.c${selected.length}${cast}`);
  };
  columns.forEach((column, index) => {
    const array = arrayOf(
      column.type,
      inserts.map(({ row }) => valueOf(table, row, column, index)),
    );
    // unnest would take an array of arrays apart completely: those travel as text.
    if (column.type === 'text[]') addArray(array, 'text', '::text[]');
    else addArray(array, sqlType(column.type), '');
  });
  for (const name of intervalColumns(table)) {
    const isStart = name === 'from_position';
    addArray(int8Array(inserts.map(({ from, to }) => (isStart ? from : to))), 'bigint', '');
  }
  return (
    `INSERT INTO ${quoted(schema)}.${quoted(table.name)} SELECT ${selected.join(', ')} ` +
    `FROM unnest(${arrays.join(', ')}) AS i(${selected.map((_, i) => `c${i}`).join(', ')})`
  );
}

function closePart(
  schema: string,
  table: TableDefinition,
  closes: readonly Version<object>[],
  values: unknown[],
): string {
  const keys = keyColumns(table);
  const all = physicalColumns(table);
  const arrays: string[] = [];
  const addArray = (array: unknown, type: string): void => {
    values.push(array);
    arrays.push(`$${values.length}::${type}[]`);
  };
  for (const key of keys) {
    const index = all.findIndex(({ name }) => name === key.name);
    const array = closes.map(({ row }) => valueOf(table, row, key, index));
    addArray(arrayOf(key.type, array), sqlType(key.type));
  }
  addArray(int8Array(closes.map(({ from }) => from)), 'bigint');
  const conditions = keys.map(({ name }, i) => `t.${quoted(name)} = c.c${i}`);
  if (isPresentOnly(table)) {
    return (
      `DELETE FROM ${quoted(schema)}.${quoted(table.name)} t ` +
      `USING unnest(${arrays.join(', ')}) AS c(${arrays.map((_, i) => `c${i}`).join(', ')}) ` +
      `WHERE ${conditions.join(' AND ')} AND t.from_position = c.c${keys.length}`
    );
  }
  addArray(int8Array(closes.map(({ to }) => to)), 'bigint');
  return (
    `UPDATE ${quoted(schema)}.${quoted(table.name)} t SET to_position = c.c${keys.length + 1} ` +
    `FROM unnest(${arrays.join(', ')}) AS c(${arrays.map((_, i) => `c${i}`).join(', ')}) ` +
    `WHERE ${conditions.join(' AND ')} AND t.from_position = c.c${keys.length}`
  );
}

/** Value of a column; rungs of ladders keep theirs by place, not by name. */
export function valueOf(table: TableDefinition, row: object, column: PhysicalColumn, index: number): unknown {
  if (table.kind !== 'ladder') return (row as Record<string, unknown>)[column.name];
  const rung = row as Rung;
  if (index === 0) return rung.key;
  return index === 1 ? rung.height : rung.sums[index - 2];
}

/** Values of a column as one parameter. In binary where there is a form for it: text would be escaped here and taken apart there. */
function arrayOf(type: ColumnType, values: readonly unknown[]): unknown {
  const nullable = values.map((value) => value ?? null);
  switch (type) {
    case 'text':
      return textArray(nullable as (string | null)[]);
    case 'int':
      return int4Array(nullable as (number | null)[]);
    case 'bigint':
      return int8Array(nullable as (bigint | null)[]);
    case 'boolean':
      return boolArray(nullable as (boolean | null)[]);
    case 'timestamptz':
      return timestamptzArray(nullable as (Date | null)[]);
    case 'jsonb':
      return jsonbArray(nullable.map((value) => (value === null ? null : JSON.stringify(value))));
    case 'text[]':
      return textArray(nullable.map((value) => (value === null ? null : arrayLiteral(value as readonly string[]))));
    case 'numeric':
      return nullable;
  }
}

/** PostgreSQL's text form of an array of strings. */
export function arrayLiteral(items: readonly string[]): string {
  return `{${items.map((item) => `"${item.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`).join(',')}}`;
}
