import { describe, expect, it } from 'vitest';
import { POSITION_INFINITY } from '../../platform/postgres/pool.js';
import { RowTable } from './row-table.js';
import { rowTable } from './table-definition.js';
import { BatchSink, type Clock, type Version } from './version.js';

interface Member {
  id: string;
  team: string;
}

const definition = rowTable<Member>({
  name: 'member',
  columns: { id: { type: 'text' }, team: { type: 'text' } },
  key: ['id'],
  group: 'team',
});

/** A table over a database that has these rows, and is asked after `sent` only. */
function tableOver(stored: readonly Member[]) {
  const clock: Clock = { position: 10n };
  const versions = (): Version<Member>[] =>
    stored.map((row) => ({ row: { ...row }, from: 1n, to: POSITION_INFINITY, stored: true }));
  const table = new RowTable<Member>(definition, clock, new BatchSink({ keepsEnds: true, keepsEnded: true }), {
    byKeys: (keys) => Promise.resolve(versions().filter(({ row }) => keys.includes(row.id))),
    byGroups: (teams) => Promise.resolve(versions().filter(({ row }) => teams.includes(row.team))),
    fromGroup: () => Promise.reject(new Error('teams have no order')),
  });
  const members = (team: string): string[] => table.group(team).map(({ id }) => id);
  return { table, members };
}

describe('rows of a batch that is computed and not in the database yet', () => {
  it('are found by their group, also where they were looked up by their key before', async () => {
    const { table, members } = tableOver([]);
    await table.load(['a']);
    await table.loadGroups(['red']);
    table.put({ id: 'a', team: 'red' });
    table.seal();
    await table.load(['a']);
    await table.loadGroups(['red']);
    expect(table.get('a')).toEqual({ id: 'a', team: 'red' });
    expect(members('red')).toEqual(['a']);
  });

  it('are in the group that they moved to, and not where the database still has them', async () => {
    const { table, members } = tableOver([
      { id: 'a', team: 'red' },
      { id: 'b', team: 'red' },
      { id: 'c', team: 'red' },
    ]);
    await table.load(['a', 'b']);
    await table.loadGroups(['red', 'blue']);
    table.put({ id: 'a', team: 'blue' });
    table.remove('b');
    table.seal();
    await table.loadGroups(['red', 'blue']);
    expect([members('red'), members('blue')]).toEqual([['c'], ['a']]);
  });

  it('are the database’s to tell of when it has them', async () => {
    const { table, members } = tableOver([{ id: 'a', team: 'red' }]);
    await table.loadGroups(['red']);
    table.remove('a');
    table.seal();
    table.sent();
    await table.loadGroups(['red']);
    expect(members('red')).toEqual(['a']);
  });
});
