import type { ColumnType, TableDefinition } from './table-definition.js';
import { intervalColumns, isVersioned, keyColumns, physicalColumns } from './table-definition.js';
import { quoted } from './identifiers.js';

const SQL_TYPES: Readonly<Record<ColumnType, string>> = {
  text: 'text',
  int: 'integer',
  bigint: 'bigint',
  boolean: 'boolean',
  timestamptz: 'timestamptz',
  jsonb: 'jsonb',
  'text[]': 'text[]',
  numeric: 'numeric',
};

export function sqlType(type: ColumnType): string {
  return SQL_TYPES[type];
}

export function createTableSql(schema: string, table: TableDefinition): string {
  const lines = physicalColumns(table).map(
    ({ name, type, nullable }) => `${quoted(name)} ${sqlType(type)}${nullable ? '' : ' NOT NULL'}`,
  );
  lines.push(...intervalColumns(table).map((name) => `${name} bigint NOT NULL`));
  return `CREATE TABLE ${quoted(schema)}.${quoted(table.name)} (${lines.join(', ')})`;
}

/**
 * Key, indexes and room for rows that end, apart from the table so that a bulk load can do this afterwards: history, which no reorg
 * reaches any more, is packed densely.
 */
export function createIndexesSql(schema: string, table: TableDefinition): string[] {
  const key = keyColumns(table).map(({ name }) => quoted(name));
  // A row of an append table is alone with its key.
  if (isVersioned(table) && table.kind !== 'append') key.push('from_position');
  const target = `${quoted(schema)}.${quoted(table.name)}`;
  return [
    `ALTER TABLE ${target} ADD PRIMARY KEY (${key.join(', ')})`,
    ...table.indexes.map((index) => createIndexSql(target, index)),
    ...(table.fillPercent === 100 ? [] : [`ALTER TABLE ${target} SET (fillfactor = ${table.fillPercent})`]),
  ];
}

/** `columns`, or `columns WHERE condition`. */
function createIndexSql(target: string, index: string): string {
  const [columns = '', condition] = index.split(' WHERE ');
  return `CREATE INDEX ON ${target} (${columns})${condition === undefined ? '' : ` WHERE ${condition}`}`;
}
