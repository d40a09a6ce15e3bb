import { invariant } from '../../platform/assert.js';
import type { AnyHandle, Projection, ProjectedEvent } from '../projection.js';
import { appendKey } from '../runner/projection-runtime.js';
import { AppendTable } from '../tables/append-table.js';
import { LadderTable } from '../tables/ladder-table.js';
import type { Rung } from '../tables/ladder-table.js';
import { RowTable } from '../tables/row-table.js';
import { isPresentOnly } from '../tables/table-definition.js';
import type { RowTableDefinition, TableDefinition } from '../tables/table-definition.js';
import type { Clock, Version, VersionSink } from '../tables/version.js';
import type { TableChanges } from '../tables/write-changes.js';
import type { BulkWriter } from './bulk-writer.js';
import { createCopyEncoder } from './copy-encoder.js';
import { SettledRows } from './settled-rows.js';

/**
 * A projection in a replay from zero: open rows that may still change are in memory (measured: 0.7 KiB for a coin, 0.4 KiB for a
 * rung of a ladder). Rows that have ended, rows of append tables, and what is settled below the window go out at once.
 */
export interface BulkRuntime {
  readonly projection: Projection;
  readonly schema: string;
  apply(event: ProjectedEvent): void;
  /** Writes the open rows, a page at a time: the caller waits for room in between. The runtime is of no use afterwards. */
  openRows(): Iterable<void>;
  /** Ends of append rows that are in the tables already; to be applied when the keys are there. */
  lateCloses(): TableChanges[];
}

/** Rows written between two looks at the writer's queue. */
const PAGE_ROWS = 5_000;

/**
 * @param inSql tables that are filled in SQL: what is applied to them goes nowhere
 * @param window blocks below the tip that a reorg may reach: see `BelowWindowError`
 */
export function createBulkRuntime(
  projection: Projection,
  schema: string,
  writer: BulkWriter,
  inSql: ReadonlySet<string>,
  window: number,
): BulkRuntime {
  const clock: Clock = { position: 0n };
  const handles = new Map<string, AnyHandle>();
  const outs: BulkOut[] = [];
  for (const table of projection.tables) {
    if (inSql.has(table.name)) {
      handles.set(table.name, createIdleHandle(table, clock));
      continue;
    }
    const { handle, ...out } = createBulkHandle(table, schema, clock, writer, window);
    handles.set(table.name, handle);
    outs.push({ table, ...out });
  }
  const settling = outs.flatMap(({ settling: each }) => each ?? []);
  return {
    projection,
    schema,
    apply: (event) => {
      clock.position = event.position;
      if (event.type === 'BlockDisconnected') for (const rows of settling) rows.disconnected(event.data.height);
      projection.apply(event, handles);
      if (event.type === 'BlockConnected') for (const rows of settling) rows.connected(event.data.height);
    },
    *openRows() {
      for (const { writeOpen } of outs) yield* writeOpen();
    },
    lateCloses: () =>
      outs
        .filter(({ closes }) => closes.length > 0)
        .map(({ table, closes }) => ({ table, changes: { inserts: [], closes } })),
  };
}

interface BulkOut {
  table: TableDefinition;
  writeOpen: () => Iterable<void>;
  closes: Version<object>[];
  /** Told of blocks, where rows settle. */
  settling?: { connected: (height: number) => void; disconnected: (height: number) => void };
}

/** Takes what a projection writes to a table that SQL fills. */
function createIdleHandle(table: TableDefinition, clock: Clock): AnyHandle {
  const sink: VersionSink<object> = { isDoneWhenClosed: true, opened: () => undefined, closed: () => undefined };
  if (table.kind === 'ladder') {
    return new LadderTable(table, clock, sink, undefined);
  }
  invariant(table.kind === 'append', `table ${table.name} is looked at by its projection: SQL cannot fill it alone`);
  const handle = new AppendTable(clock, sink, appendKey(table), false);
  return handle as unknown as AnyHandle;
}

function createBulkHandle(
  table: TableDefinition,
  schema: string,
  clock: Clock,
  writer: BulkWriter,
  window: number,
): { handle: AnyHandle } & Omit<BulkOut, 'table'> {
  const out = writer.table(schema, table);
  const encode = createCopyEncoder(table);
  const closes: Version<object>[] = [];
  if (table.kind === 'append') {
    const sink: VersionSink<Record<string, unknown>> = {
      isDoneWhenClosed: false,
      opened: (version) => {
        out.write(encode(version));
      },
      closed: (version) => {
        invariant(version.stored, `table ${table.name}: a row in memory was ended`);
        closes.push(version);
      },
    };
    const handle = new AppendTable(clock, sink, appendKey(table), false);
    return { handle: handle as unknown as AnyHandle, writeOpen: () => [], closes };
  }
  const isPresent = isPresentOnly(table);
  const sink: VersionSink<object> = {
    isDoneWhenClosed: true,
    opened: () => undefined,
    closed: (version) => {
      if (!isPresent && version.from < version.to) out.write(encode(version));
    },
  };
  const writeOpen = function* (versions: Iterable<Version<object>>): Iterable<void> {
    let rows = 0;
    for (const version of versions) {
      out.write(encode(version));
      rows += 1;
      if (rows % PAGE_ROWS === 0) yield;
    }
  };
  if (table.kind === 'ladder') {
    const settled = (rung: Version<Rung>): void => {
      out.write(encode(rung));
    };
    const rungs = sink as VersionSink<Rung>;
    const handle = new LadderTable(table, clock, rungs, undefined, {
      heights: window,
      settled,
    });
    return { handle, writeOpen: () => writeOpen(handle.openVersions()), closes };
  }
  const definition = table as unknown as RowTableDefinition<Record<string, unknown>>;
  const { settledAt } = definition;
  const ends: VersionSink<Record<string, unknown>> = sink;
  if (settledAt === undefined || !Number.isFinite(window)) {
    const handle = new RowTable<Record<string, unknown>>(definition, clock, ends, undefined);
    return { handle: handle as unknown as AnyHandle, writeOpen: () => writeOpen(handle.openVersions()), closes };
  }
  const settled = new SettledRows(definition, settledAt, window);
  const rows: VersionSink<Record<string, unknown>> = {
    ...ends,
    opened: (version) => {
      settled.opened(version, handle.keyOf(version.row));
    },
  };
  const handle = new RowTable<Record<string, unknown>>(definition, clock, rows, undefined);
  return {
    handle: handle as unknown as AnyHandle,
    writeOpen: () => writeOpen(handle.openVersions()),
    closes,
    settling: {
      connected: (height) => {
        for (const version of settled.connected(height, handle)) out.write(encode(version));
      },
      disconnected: (height) => {
        settled.disconnected(height);
      },
    },
  };
}
