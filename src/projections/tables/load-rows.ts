import { POSITION_INFINITY } from '../../platform/postgres/pool.js';
import { invariant } from '../../platform/assert.js';
import { sqlType } from './ddl.js';
import { quoted } from './identifiers.js';
import type { LadderLoader, Rung } from './ladder-table.js';
import type { RowLoader } from './row-table.js';
import { keyColumns, physicalColumns } from './table-definition.js';
import type { LadderDefinition, PhysicalColumn, RowTableDefinition } from './table-definition.js';
import type { Version } from './version.js';

/** The lane's connection, as loaders use it. */
export interface LaneConnection {
  /** Runs a prepared statement. */
  run: (name: string, text: string, values: unknown[]) => Promise<Record<string, unknown>[]>;
  /** Sends the batch that was computed last, where it was not sent yet: what is run after it sees its rows. */
  sendBatch: () => Promise<void>;
}

/**
 * Reads open rows by their primary key. The newest version of a key comes first from the key's index; it is open or the key
 * has none, so no index over open rows is needed.
 */
export function createRowLoader<R extends object>(
  schema: string,
  table: RowTableDefinition<R>,
  { run }: LaneConnection,
): RowLoader<R> {
  const erased = table as unknown as RowTableDefinition<never>;
  const target = `${quoted(schema)}.${quoted(table.name)}`;
  const keys = keyColumns(erased);
  const columns = physicalColumns(erased);
  const isOpen = table.presentOnly ? 'true' : `t.to_position = ${POSITION_INFINITY}`;
  const list = columns.map(({ name }) => `t.${quoted(name)}`).join(', ');
  const byKeys =
    `SELECT ${list}, t.from_position FROM unnest(${keys.map(({ type }, i) => `$${i + 1}::${sqlType(type)}[]`).join(', ')}) ` +
    `AS k(${keys.map((_, i) => `k${i}`).join(', ')}) CROSS JOIN LATERAL (SELECT * FROM ${target} r ` +
    `WHERE ${keys.map(({ name }, i) => `r.${quoted(name)} = k.k${i}`).join(' AND ')} ` +
    `ORDER BY ${keys.map(({ name }) => `r.${quoted(name)}`).join(', ')}, r.from_position DESC LIMIT 1) t ` +
    `WHERE ${isOpen}`;
  const group = columns.find(({ name }) => name === table.group);
  const inGroup = (condition: string): string =>
    `SELECT ${list}, t.from_position FROM ${target} t WHERE t.${quoted(group?.name ?? '')} ${condition} ` +
    `AND ${isOpen}`;
  const versions = async (name: string, text: string, values: unknown[]): Promise<Version<R>[]> =>
    (await run(name, text, values)).map(versionOf<R>);
  return {
    byKeys: (wanted) => versions(`${table.name}.keys`, byKeys, keyArrays(keys, wanted)),
    byGroups: (groups) => {
      invariant(group !== undefined, `table ${table.name} has no group`);
      return versions(`${table.name}.groups`, inGroup(`= ANY($1::${sqlType(group.type)}[])`), [groups]);
    },
    fromGroup: (least) => versions(`${table.name}.from`, inGroup('>= $1::integer'), [least]),
  };
}

/** Splits key texts into one array per key column. */
function keyArrays(keys: readonly PhysicalColumn[], wanted: readonly string[]): string[][] {
  const arrays: string[][] = keys.map(() => []);
  for (const key of wanted) {
    const parts = keys.length === 1 ? [key] : key.split('/');
    invariant(parts.length === keys.length, `key ${key} has not ${keys.length} parts`);
    parts.forEach((part, index) => arrays[index]?.push(part));
  }
  return arrays;
}

function versionOf<R extends object>(record: Record<string, unknown>): Version<R> {
  const { from_position: from, ...row } = record;
  return { row: row as R, from: from as bigint, to: POSITION_INFINITY, stored: true };
}

export function createLadderLoader(
  schema: string,
  table: LadderDefinition,
  { run, sendBatch }: LaneConnection,
): LadderLoader {
  const target = `${quoted(schema)}.${quoted(table.name)}`;
  const key = quoted(table.key);
  const list = ['height', ...table.sums].map((name) => `r.${quoted(name)}`).join(', ');
  const open = table.endless ? '' : ` AND r.to_position = ${POSITION_INFINITY}`;
  // Two index walks per key: down from the height to the first open rung, up over what stands above (rarely anything). The newest
  // version of a rung is the open one, where rows have no end; where they have one, there is only one.
  const text =
    `SELECT k.id, t.* FROM unnest($1::text[]) AS k(id) CROSS JOIN LATERAL (` +
    `(SELECT ${list}, r.from_position FROM ${target} r WHERE r.${key} = k.id AND r.height <= $2${open} ` +
    `ORDER BY r.height DESC, r.from_position DESC LIMIT 1) UNION ALL ` +
    `(SELECT DISTINCT ON (r.height) ${list}, r.from_position FROM ${target} r WHERE r.${key} = k.id AND r.height > $2${open} ` +
    `ORDER BY r.height DESC, r.from_position DESC)) t ` +
    `ORDER BY k.id, t.height`;
  return {
    sendBatch,
    fromHeight: async (keys, height) => {
      const records = await run(`${table.name}.ladder`, text, [keys, height]);
      return records.map((record): Version<Rung> => {
        const sums = table.sums.map((name) => record[name] as bigint);
        const row = { key: record['id'] as string, height: record['height'] as number, sums };
        return { row, from: record['from_position'] as bigint, to: POSITION_INFINITY, stored: true };
      });
    },
  };
}
