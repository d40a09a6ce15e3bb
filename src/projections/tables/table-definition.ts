import { invariant } from '../../platform/assert.js';

/**
 * How a read table looks. Three kinds, all immutable but for the end of an interval:
 *
 * - `rows`: keyed, versioned: `[from_position, to_position)`.
 * - `ladder`: cumulative sums by height, versioned: the value at height H is the rung with the greatest height ≤ H.
 * - `append`: written once, and perhaps ended once.
 */
export type ColumnType = 'text' | 'int' | 'bigint' | 'boolean' | 'timestamptz' | 'jsonb' | 'text[]' | 'numeric';

export interface Column {
  type: ColumnType;
  /** Default false. */
  nullable?: boolean;
  /** Never holds a character that COPY escapes (hex, ids, names): saves the look. Default false. */
  plain?: boolean;
}

interface Described {
  name: string;
  /** Extra indexes besides the primary key: lists of columns, as in SQL, with ` WHERE condition` where it holds only some rows. */
  indexes: readonly string[];
  /**
   * Percent of a page that inserts fill; 100 where nothing is said. In the rest of the page a row that ends finds room for its new
   * version: then none of its indexes gets an entry (heap-only tuples).
   */
  fillPercent: number;
}

export interface RowTableDefinition<R extends object> extends Described {
  kind: 'rows';
  columns: { readonly [K in keyof R]: Column };
  key: readonly (keyof R & string)[];
  /** Open rows can also be found by this column. Needs an index that begins with it. */
  group: (keyof R & string) | undefined;
  /**
   * Holds what is now, and nothing that was: a row that ends is deleted. For what can be told from other tables at any position, and
   * is asked for in the present alone.
   */
  presentOnly: boolean;
  /**
   * Height of the block that the row would have to lose to change again: a rebuild need not keep it in memory once that block is deep
   * enough. Null where anything else may change it.
   */
  settledAt: ((row: R) => number | null) | undefined;
}

export interface LadderDefinition extends Described {
  kind: 'ladder';
  /** The key column; the second part of the key is `height`. */
  key: string;
  /** bigint columns, all cumulative. */
  sums: readonly string[];
  /**
   * Nothing is ever taken back (no `cutFrom`): the newest version of a rung is the one that counts, so that none has to be ended and
   * a change is one row instead of two.
   */
  endless: boolean;
}

export interface AppendTableDefinition<R extends object> extends Described {
  kind: 'append';
  columns: { readonly [K in keyof R]: Column };
  key: readonly (keyof R & string)[];
  /** Rows can be ended later: they carry an interval too. They are never looked at again, so nothing is kept in memory. */
  closable: boolean;
  /** The column with the position of the event that a row came from. */
  position: string;
}

/** A definition whose row type nobody needs to know. */
export type TableDefinition = RowTableDefinition<never> | LadderDefinition | AppendTableDefinition<never>;

export function rowTable<R extends object>(definition: {
  name: string;
  columns: { readonly [K in keyof R]: Column };
  key: readonly (keyof R & string)[];
  group?: keyof R & string;
  presentOnly?: boolean;
  settledAt?: (row: R) => number | null;
  indexes?: readonly string[];
  fillPercent?: number;
}): RowTableDefinition<R> {
  return {
    kind: 'rows',
    name: definition.name,
    columns: definition.columns,
    key: definition.key,
    group: definition.group,
    presentOnly: definition.presentOnly ?? false,
    settledAt: definition.settledAt,
    indexes: definition.indexes ?? [],
    fillPercent: definition.fillPercent ?? 100,
  };
}

export function ladderTable(definition: {
  name: string;
  key: string;
  sums: readonly string[];
  endless?: boolean;
}): LadderDefinition {
  return {
    kind: 'ladder',
    name: definition.name,
    key: definition.key,
    sums: definition.sums,
    endless: definition.endless ?? false,
    indexes: [],
    fillPercent: 100,
  };
}

export function appendTable<R extends object>(definition: {
  name: string;
  columns: { readonly [K in keyof R]: Column };
  key: readonly (keyof R & string)[];
  position: keyof R & string;
  closable?: boolean;
  indexes?: readonly string[];
}): AppendTableDefinition<R> {
  return {
    kind: 'append',
    name: definition.name,
    columns: definition.columns,
    key: definition.key,
    closable: definition.closable ?? false,
    position: definition.position,
    indexes: definition.indexes ?? [],
    fillPercent: 100,
  };
}

/** A column as SQL sees it, without the interval. */
export interface PhysicalColumn {
  name: string;
  type: ColumnType;
  nullable: boolean;
  plain: boolean;
}

/** The columns of a table without `from_position` and `to_position`, in the order in which rows are written. */
export function physicalColumns(table: TableDefinition): PhysicalColumn[] {
  if (table.kind === 'ladder') {
    return [
      { name: table.key, type: 'text', nullable: false, plain: true },
      { name: 'height', type: 'int', nullable: false, plain: true },
      ...table.sums.map((name) => ({ name, type: 'bigint' as const, nullable: false, plain: true })),
    ];
  }
  return Object.entries(table.columns as Record<string, Column>).map(([name, column]) => ({
    name,
    type: column.type,
    nullable: column.nullable ?? false,
    plain: column.plain ?? false,
  }));
}

/** The columns that name a row among the open ones. */
export function keyColumns(table: TableDefinition): PhysicalColumn[] {
  const names: readonly string[] = table.kind === 'ladder' ? [table.key, 'height'] : table.key;
  const columns = physicalColumns(table);
  return names.map((name) => {
    const column = columns.find((candidate) => candidate.name === name);
    invariant(column !== undefined, `table ${table.name} has no key column ${name}`);
    return column;
  });
}

/** A row is named by its key and where it began. */
export function isVersioned(table: TableDefinition): boolean {
  return table.kind !== 'append' || table.closable;
}

/** Rows end: they are valid in `[from_position, to_position)`. */
export function hasEnd(table: TableDefinition): boolean {
  return isVersioned(table) && !(table.kind === 'ladder' && table.endless) && !isPresentOnly(table);
}

/** Rows that end are deleted. */
export function isPresentOnly(table: TableDefinition): boolean {
  return table.kind === 'rows' && table.presentOnly;
}

/** The columns after the physical ones, as far as the table has them. */
export function intervalColumns(table: TableDefinition): readonly ('from_position' | 'to_position')[] {
  if (hasEnd(table)) return ['from_position', 'to_position'];
  return isVersioned(table) ? ['from_position'] : [];
}
