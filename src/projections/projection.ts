import type pg from 'pg';
import type { Found } from '../domain/events/chain-events.js';
import type { DomainEvent } from '../domain/events/event-types.js';
import type { EventMetadata } from '../eventstore/event-store.js';
import type {
  AppendTableDefinition,
  LadderDefinition,
  RowTableDefinition,
  TableDefinition,
} from './tables/table-definition.js';
import type { AppendTable } from './tables/append-table.js';
import type { LadderTable } from './tables/ladder-table.js';
import type { RowTable } from './tables/row-table.js';

export interface Tip {
  height: number;
  hash: string;
}

export interface DepositPolicy {
  depositConfirmations: number;
  coinbaseMaturity: number;
}

/** A block as projections see it: its header facts and everything in it that concerns us, parts joined. */
export interface AssembledBlock {
  hash: string;
  height: number;
  prevHash: string;
  time: number;
  bits: number;
  /** Revision of its `BlockConnected` on the chain's stream. */
  revision: bigint;
  /** Position of its `BlockConnected`. */
  position: bigint;
  found: Found;
}

/** What the chain looks like to the ledger at a position; kept with the checkpoint. */
export interface ChainContext {
  tip: Tip | null;
  policy: DepositPolicy | null;
}

interface Envelope {
  position: bigint;
  stream: string;
  revision: bigint;
  recordedAt: Date;
  metadata: EventMetadata;
  /** After this event. */
  tip: Tip | null;
  /** After this event. */
  policy: DepositPolicy | null;
  /** For `BlockConnected` this block, for `BlockDisconnected` the block that it undoes. */
  block: AssembledBlock | undefined;
}

export type ProjectedEvent = Envelope & DomainEvent;

/** Height that a fact of the books counts from: the tip's when it was recorded; below every block where there was none. */
export function bookHeight(event: ProjectedEvent): number {
  return event.tip === null ? HEIGHT_BEFORE_CHAIN : event.tip.height;
}

export const HEIGHT_BEFORE_CHAIN = -1;

export type Handle<D> =
  D extends RowTableDefinition<infer R>
    ? RowTable<R>
    : D extends LadderDefinition
      ? LadderTable
      : D extends AppendTableDefinition<infer R>
        ? AppendTable<R>
        : never;

export type Handles<D> = { readonly [K in keyof D]: Handle<D[K]> };

/** Any table's handle, where its rows do not matter. */
export type AnyHandle = RowTable<never> | LadderTable | AppendTable<never>;

/** A projection as the engine knows it. */
export interface Projection {
  readonly name: string;
  /** Raise it whenever tables or meaning change: a checkpoint of another version is rebuilt at the start. */
  readonly version: number;
  readonly tables: readonly TableDefinition[];
  /** Brings in the rows that `apply` of these events may look at; does nothing in a rebuild, where everything is in memory. */
  load(events: readonly ProjectedEvent[], handles: ReadonlyMap<string, AnyHandle>): Promise<void>;
  /** Pure and deterministic: changes depend on this event and the rows alone, never on how events were batched. */
  apply(event: ProjectedEvent, handles: ReadonlyMap<string, AnyHandle>): void;
  readonly bulk: BulkLoad | undefined;
}

/**
 * How a rebuild fills some of a projection's tables in SQL, beside the replay and without a row of them in this process. Must give
 * the very rows that `apply` gives: the model test compares them, and `verify` compares live tables with what `apply` gives.
 */
export interface BulkLoad {
  /** In the order in which they are filled; each has its key and indexes before the next begins. */
  readonly tables: readonly { readonly table: string; readonly fill: (target: BulkTarget) => Promise<void> }[];
  /** SQL condition on rows of the outbox: events that change the projection's other tables. Chain events come in any case. */
  readonly applies: string;
}

export interface BulkTarget {
  client: pg.ClientBase;
  ledger: string;
  /** Last position. */
  to: bigint;
  /** Where the tables are, empty. */
  schema: string;
}

/** Ties a projection's tables to the handles that its functions get. */
export function defineProjection<D extends Record<string, unknown>>(definition: {
  name: string;
  version: number;
  tables: D;
  load(events: readonly ProjectedEvent[], tables: Handles<D>): Promise<void>;
  apply(event: ProjectedEvent, tables: Handles<D>): void;
  bulk?: BulkLoad;
}): Projection {
  const tables = Object.values(definition.tables) as TableDefinition[];
  const names = Object.entries(definition.tables) as [string, TableDefinition][];
  // The engine makes exactly one handle per table and keeps the map for the life of a lane: resolve names once.
  const resolved = new WeakMap<object, Handles<D>>();
  function handlesOf(map: ReadonlyMap<string, AnyHandle>): Handles<D> {
    let handles = resolved.get(map);
    if (handles === undefined) {
      handles = Object.fromEntries(names.map(([property, table]) => [property, map.get(table.name)])) as Handles<D>;
      resolved.set(map, handles);
    }
    return handles;
  }
  return {
    name: definition.name,
    version: definition.version,
    tables,
    load: (events, map) => definition.load(events, handlesOf(map)),
    apply: (event, map) => {
      definition.apply(event, handlesOf(map));
    },
    bulk: definition.bulk,
  };
}
