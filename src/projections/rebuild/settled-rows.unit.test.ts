import { describe, expect, it } from 'vitest';
import { BelowWindowError } from '../tables/ladder-table.js';
import { RowTable } from '../tables/row-table.js';
import { rowTable } from '../tables/table-definition.js';
import { SettledRows } from './settled-rows.js';

interface Row {
  id: string;
  height: number | null;
}

const definition = rowTable<Row>({
  name: 'thing',
  columns: { id: { type: 'text' }, height: { type: 'int', nullable: true } },
  key: ['id'],
  settledAt: ({ height }) => height,
});

/** A table in a rebuild, with blocks that settle its rows two heights below the tip. */
function createTable(): {
  put(row: Row): void;
  connect(height: number): string[];
  disconnect(height: number): void;
  open(): string[];
} {
  const settled = new SettledRows(definition, ({ height }: Row) => height, 2);
  const table = new RowTable<Row>(
    definition,
    { position: 1n },
    {
      isDoneWhenClosed: true,
      opened: (version) => {
        settled.opened(version, version.row.id);
      },
      closed: () => undefined,
    },
    undefined,
  );
  return {
    put: (row) => {
      table.put(row);
    },
    connect: (height) => [...settled.connected(height, table)].map(({ row }) => row.id),
    disconnect: (height) => {
      settled.disconnected(height);
    },
    open: () => [...table.openVersions()].map(({ row }) => row.id),
  };
}

describe('settled rows', () => {
  it('go out once, when their block is as deep as the window, wherever the chain begins', () => {
    const table = createTable();
    expect(table.connect(700_000)).toEqual([]);
    table.put({ id: 'a', height: 700_000 });
    table.put({ id: 'never', height: null });
    expect(table.connect(700_001)).toEqual([]);
    table.put({ id: 'b', height: 700_001 });
    expect(table.connect(700_002)).toEqual(['a']);
    expect(table.open()).toEqual(['never', 'b']);
    expect(table.connect(700_003)).toEqual(['b']);
    expect(table.connect(700_004)).toEqual([]);
    expect(table.open()).toEqual(['never']);
  });

  it('stay while something else is known of them meanwhile', () => {
    const table = createTable();
    table.connect(10);
    table.put({ id: 'moved', height: 10 });
    table.put({ id: 'lost', height: 10 });
    table.connect(11);
    // A reorg within the window: one is in another block, one in none.
    table.disconnect(11);
    table.put({ id: 'moved', height: 11 });
    table.put({ id: 'lost', height: null });
    expect(table.connect(11)).toEqual([]);
    expect(table.connect(12)).toEqual([]);
    expect(table.connect(13)).toEqual(['moved']);
    expect(table.open()).toEqual(['lost']);
  });

  it('cannot come back: a reorg that reaches them says so before anything is applied', () => {
    const table = createTable();
    for (let height = 10; height <= 14; height += 1) {
      table.put({ id: `at ${height}`, height });
      table.connect(height);
    }
    expect(table.open()).toEqual(['at 13', 'at 14']);
    table.disconnect(14);
    table.disconnect(13);
    expect(() => {
      table.disconnect(12);
    }).toThrow(BelowWindowError);
  });
});
