import type { AnyHandle, Projection, ProjectedEvent } from '../projection.js';
import { AppendTable } from '../tables/append-table.js';
import { LadderTable } from '../tables/ladder-table.js';
import type { Rung } from '../tables/ladder-table.js';
import { createLadderLoader, createRowLoader } from '../tables/load-rows.js';
import type { LaneConnection } from '../tables/load-rows.js';
import { RowTable } from '../tables/row-table.js';
import { hasEnd, isPresentOnly } from '../tables/table-definition.js';
import type { AppendTableDefinition, RowTableDefinition, TableDefinition } from '../tables/table-definition.js';
import type { TableChanges } from '../tables/write-changes.js';
import { BatchSink } from '../tables/version.js';
import type { Clock } from '../tables/version.js';

/** A projection at work in a live lane: its tables with what they cache. */
export interface ProjectionRuntime {
  readonly projection: Projection;
  load(events: readonly ProjectedEvent[]): Promise<void>;
  apply(event: ProjectedEvent): void;
  changes(): TableChanges[];
  /** The changes go out as they are: the next batch builds on them. */
  seal(): void;
  /** The database has them before it answers any question that is asked from here on. */
  sent(): void;
  /** Forgets the batch and all that was cached. */
  discard(): void;
}

export function createProjectionRuntime(
  projection: Projection,
  schema: string,
  connection: LaneConnection,
): ProjectionRuntime {
  const clock: Clock = { position: 0n };
  const handles = new Map<string, AnyHandle>();
  const sinks: { table: TableDefinition; sink: BatchSink<object> }[] = [];
  for (const table of projection.tables) {
    const { handle, sink } = createHandle(table, clock, schema, connection);
    handles.set(table.name, handle);
    sinks.push({ table, sink });
  }
  return {
    projection,
    load: (events) => projection.load(events, handles),
    apply: (event) => {
      clock.position = event.position;
      projection.apply(event, handles);
    },
    changes: () => sinks.map(({ table, sink }) => ({ table, changes: sink.changes() })),
    seal: () => {
      for (const { sink } of sinks) sink.seal();
      for (const handle of handles.values()) handle.seal();
    },
    sent: () => {
      for (const handle of handles.values()) if (!(handle instanceof AppendTable)) handle.sent();
    },
    discard: () => {
      for (const { sink } of sinks) sink.clear();
      for (const handle of handles.values()) handle.discard();
    },
  };
}

function createHandle(
  table: TableDefinition,
  clock: Clock,
  schema: string,
  connection: LaneConnection,
): { handle: AnyHandle; sink: BatchSink<object> } {
  const isPresent = isPresentOnly(table);
  const sink = new BatchSink<object>({ keepsEnds: hasEnd(table) || isPresent, keepsEnded: !isPresent });
  switch (table.kind) {
    case 'ladder': {
      const rungs = sink as unknown as BatchSink<Rung>;
      const loader = createLadderLoader(schema, table, connection);
      return { handle: new LadderTable(table, clock, rungs, loader), sink };
    }
    case 'rows': {
      const definition = table as unknown as RowTableDefinition<Record<string, unknown>>;
      const rows = sink as unknown as BatchSink<Record<string, unknown>>;
      const handle = new RowTable(definition, clock, rows, createRowLoader(schema, definition, connection));
      return { handle: handle as unknown as AnyHandle, sink };
    }
    case 'append': {
      const rows = sink as unknown as BatchSink<Record<string, unknown>>;
      const handle = new AppendTable(clock, rows, appendKey(table), table.closable);
      return { handle: handle as unknown as AnyHandle, sink };
    }
  }
}

/** Text of a row's key, to find it again within a batch. */
export function appendKey(table: AppendTableDefinition<never>): (row: Record<string, unknown>) => string {
  const columns: readonly string[] = table.key;
  return (row) => columns.map((column) => String(row[column])).join('/');
}
