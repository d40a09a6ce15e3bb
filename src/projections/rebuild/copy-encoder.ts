import { invariant } from '../../platform/assert.js';
import { POSITION_INFINITY } from '../../platform/postgres/pool.js';
import type { Rung } from '../tables/ladder-table.js';
import { hasEnd, isPresentOnly, isVersioned, physicalColumns } from '../tables/table-definition.js';
import type { PhysicalColumn, TableDefinition } from '../tables/table-definition.js';
import type { Version } from '../tables/version.js';
import { arrayLiteral } from '../tables/write-changes.js';

/** A row as a line of COPY's text format. */
export type CopyEncoder = (version: Version<object>) => string;

const INFINITY_TEXT = String(POSITION_INFINITY);
const NULL_TEXT = '\\N';

/** The encoder of a table. One closure per column: with a million rows a type switch per value is what costs. */
export function createCopyEncoder(table: TableDefinition): CopyEncoder {
  const interval = isVersioned(table);
  const isPresent = isPresentOnly(table);
  if (table.kind === 'ladder' && !hasEnd(table)) {
    return ({ row, from }) => {
      const { key, height, sums } = row as Rung;
      return `${key}\t${height}\t${sums.join('\t')}\t${from}\n`;
    };
  }
  if (table.kind === 'ladder') {
    return ({ row, from, to }) => {
      const { key, height, sums } = row as Rung;
      return `${key}\t${height}\t${sums.join('\t')}\t${from}\t${to === POSITION_INFINITY ? INFINITY_TEXT : to}\n`;
    };
  }
  const [first, ...others] = physicalColumns(table).map(fieldEncoder);
  invariant(first !== undefined, `table ${table.name} has no column`);
  return ({ row, from, to }) => {
    const values = row as Record<string, unknown>;
    let line = first(values);
    for (const field of others) line += `\t${field(values)}`;
    if (isPresent) return `${line}\t${from}\n`;
    return interval ? `${line}\t${from}\t${to === POSITION_INFINITY ? INFINITY_TEXT : to}\n` : `${line}\n`;
  };
}

function fieldEncoder(column: PhysicalColumn): (row: Record<string, unknown>) => string {
  const encode = valueEncoder(column);
  const { name, nullable } = column;
  if (!nullable) return (row) => encode(row[name]);
  return (row) => {
    const value = row[name];
    return value === null || value === undefined ? NULL_TEXT : encode(value);
  };
}

function valueEncoder({ type, plain }: PhysicalColumn): (value: unknown) => string {
  switch (type) {
    case 'jsonb':
      return (value) => escaped(JSON.stringify(value));
    case 'text[]':
      return (value) => escaped(arrayLiteral(value as readonly string[]));
    case 'timestamptz':
      return timestampEncoder();
    case 'boolean':
      return (value) => (value === true ? 't' : 'f');
    case 'int':
    case 'bigint':
    case 'numeric':
      return (value) => String(value);
    case 'text':
      return plain ? (value) => value as string : (value) => escaped(value as string);
  }
}

/** Events of one batch have the same time: formatted once. */
function timestampEncoder(): (value: unknown) => string {
  let last = NaN;
  let text = '';
  return (value) => {
    const time = (value as Date).getTime();
    if (time !== last) {
      last = time;
      text = (value as Date).toISOString();
    }
    return text;
  };
}

/** COPY's text format: backslash, tab, newline and carriage return are escaped. */
function escaped(text: string): string {
  if (!/[\\\t\n\r]/.test(text)) return text;
  return text.replaceAll('\\', '\\\\').replaceAll('\t', '\\t').replaceAll('\n', '\\n').replaceAll('\r', '\\r');
}
