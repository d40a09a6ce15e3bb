import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
import type pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { invariant } from '../../platform/assert.js';
import { createTableSql } from '../tables/ddl.js';
import { quoted } from '../tables/identifiers.js';
import { intervalColumns, physicalColumns } from '../tables/table-definition.js';
import type { TableDefinition } from '../tables/table-definition.js';

/**
 * Bytes gathered per table before they go out: large enough that one COPY per chunk costs nothing. Lines are written into a buffer
 * at once: a million short strings kept until the end of a chunk cost more in garbage collection than all encoding.
 */
const CHUNK_BYTES = 1 << 19;

/** UTF-8 has at most three bytes per UTF-16 unit. */
const MAX_BYTES_PER_UNIT = 3;

/** Chunks that may wait: bounds the memory where the database is slower than the replay. */
const MAX_WAITING = 6;

export interface BulkTable {
  write: (line: string) => void;
}

interface Target {
  schema: string;
  table: TableDefinition;
  flush: () => void;
  /** The one that has made the table: in its transaction alone it is to be seen. */
  client: pg.ClientBase | undefined;
}

interface Chunk {
  target: Target;
  bytes: Buffer;
}

/**
 * Streams rows into new tables by COPY over a few connections, in the background. Each table is made in the transaction that fills
 * it: with `wal_level = minimal` its rows then go to its file alone, not to the write-ahead log; and frozen, so that nothing writes
 * them again later. Until `finish` nobody else sees anything.
 */
export class BulkWriter {
  readonly #waiting: Chunk[] = [];
  readonly #clients: readonly pg.ClientBase[];
  readonly #idle: pg.ClientBase[];
  readonly #targets: Target[] = [];
  #running = 0;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;

  /** @param clients each in a transaction */
  constructor(clients: readonly pg.ClientBase[]) {
    this.#clients = clients;
    this.#idle = [...clients];
  }

  /** @param madeBy who has made the table already */
  table(schema: string, table: TableDefinition, madeBy?: pg.ClientBase): BulkTable {
    let buffer: Buffer | undefined;
    let used = 0;
    const flush = (): void => {
      if (buffer === undefined || used === 0) return;
      this.#waiting.push({ target, bytes: buffer.subarray(0, used) });
      buffer = undefined;
      used = 0;
      this.#start();
    };
    const target: Target = { schema, table, flush, client: madeBy };
    this.#targets.push(target);
    return {
      write: (line) => {
        if (buffer !== undefined && used + line.length * MAX_BYTES_PER_UNIT > buffer.length) flush();
        buffer ??= Buffer.allocUnsafe(Math.max(CHUNK_BYTES, line.length * MAX_BYTES_PER_UNIT));
        used += buffer.write(line, used);
      },
    };
  }

  /** Waits until there is room again; to be called between batches. @throws what a COPY has thrown */
  async room(): Promise<void> {
    await this.#until(() => this.#waiting.length < MAX_WAITING);
  }

  /** Writes out what is gathered and waits until everything is in the tables, those without a row included. */
  async finish(): Promise<void> {
    for (const { flush } of this.#targets) flush();
    await this.#until(() => this.#waiting.length === 0 && this.#running === 0);
    const [first] = this.#clients;
    invariant(first !== undefined, 'there is no connection');
    for (const { schema, table, client } of this.#targets) {
      if (client === undefined) await first.query(createTableSql(schema, table));
    }
  }

  async #until(condition: () => boolean): Promise<void> {
    while (this.#failure === undefined && !condition()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  #start(): void {
    for (let i = 0; this.#failure === undefined && i < this.#waiting.length;) {
      const chunk = this.#waiting[i];
      const client = chunk?.target.client ?? this.#idle.at(-1);
      if (chunk === undefined || client === undefined || !this.#idle.includes(client)) {
        i += 1;
        continue;
      }
      this.#waiting.splice(i, 1);
      this.#idle.splice(this.#idle.indexOf(client), 1);
      this.#running += 1;
      void this.#copy(client, chunk);
    }
  }

  async #copy(client: pg.ClientBase, { target, bytes }: Chunk): Promise<void> {
    const { schema, table } = target;
    try {
      const isNew = target.client === undefined;
      target.client = client;
      if (isNew) await client.query(createTableSql(schema, table));
      await pipeline(Readable.from([bytes], { objectMode: false }), client.query(copyFrom(copySql(schema, table))));
    } catch (error) {
      this.#failure ??= error instanceof Error ? error : new Error(String(error));
    } finally {
      this.#running -= 1;
      this.#idle.push(client);
      this.#start();
      const wake = this.#wake;
      this.#wake = undefined;
      wake?.();
    }
  }
}

function copySql(schema: string, table: TableDefinition): string {
  const columns = physicalColumns(table).map(({ name }) => quoted(name));
  columns.push(...intervalColumns(table));
  return `COPY ${quoted(schema)}.${quoted(table.name)} (${columns.join(', ')}) FROM STDIN (FREEZE)`;
}
