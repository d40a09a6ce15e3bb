import type pg from 'pg';
import { POSITION_INFINITY } from '../../platform/postgres/pool.js';
import { quoted } from '../tables/identifiers.js';
import { hasEnd, isVersioned, keyColumns, physicalColumns } from '../tables/table-definition.js';
import type { TableDefinition } from '../tables/table-definition.js';
import type { MismatchList } from './mismatch.js';

/**
 * Compares a live table with one that was replayed, row for row as of a position: what began later is left out, what ended later
 * counts as open. So commands may go on meanwhile.
 */
export async function compareTable(
  client: pg.ClientBase,
  table: TableDefinition,
  schemas: { live: string; replayed: string },
  position: bigint,
  list: MismatchList,
): Promise<void> {
  const live = rowsAsOf(schemas.live, table, position);
  const replayed = rowsAsOf(schemas.replayed, table, position);
  await compareRows(client, table, { live, replayed }, list);
}

/** Compares what two queries give, both with the table's columns. */
export async function compareRows(
  client: pg.ClientBase,
  table: TableDefinition,
  { live, replayed }: { live: string; replayed: string },
  list: MismatchList,
): Promise<void> {
  const stored = await difference(client, table, live, replayed, list.room + 1);
  const expected = await difference(client, table, replayed, live, list.room + 1);
  const keys = new Set([...stored.rows.keys(), ...expected.rows.keys()]);
  for (const key of keys) {
    list.add({
      kind: 'table',
      where: table.name,
      key,
      stored: stored.rows.get(key) ?? null,
      expected: expected.rows.get(key) ?? null,
    });
  }
  list.addUnlisted(Math.max(0, Math.max(stored.total, expected.total) - keys.size));
}

function rowsAsOf(schema: string, table: TableDefinition, position: bigint): string {
  const columns = physicalColumns(table).map(({ name }) => quoted(name));
  let since = 'from_position';
  if (isVersioned(table)) {
    columns.push('from_position');
    if (hasEnd(table)) {
      columns.push(`CASE WHEN to_position > ${position} THEN ${POSITION_INFINITY} ELSE to_position END AS to_position`);
    }
  } else if (table.kind === 'append') {
    since = quoted(table.position);
  }
  return `SELECT ${columns.join(', ')} FROM ${quoted(schema)}.${quoted(table.name)} WHERE ${since} <= ${position}`;
}

/** Rows of `left` that `right` has not, by key. */
async function difference(
  client: pg.ClientBase,
  table: TableDefinition,
  left: string,
  right: string,
  limit: number,
): Promise<{ rows: Map<string, string>; total: number }> {
  const key = keyColumns(table).map(({ name }) => quoted(name));
  if (isVersioned(table)) key.push('from_position');
  const { rows } = await client.query<{ key: string; row: string; total: bigint }>(
    `SELECT concat_ws('/', ${key.join(', ')}) AS key, to_jsonb(d)::text AS row, count(*) OVER () AS total
     FROM (${left} EXCEPT ALL ${right}) d LIMIT ${limit}`,
  );
  return { rows: new Map(rows.map(({ key: text, row }) => [text, row])), total: Number(rows[0]?.total ?? 0n) };
}
