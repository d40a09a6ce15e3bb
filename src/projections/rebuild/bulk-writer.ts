import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
import type pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
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

interface Chunk {
  sql: string;
  bytes: Buffer;
}

/** Streams rows into tables by COPY over a few connections, in the background. */
export class BulkWriter {
  readonly #waiting: Chunk[] = [];
  readonly #idle: pg.ClientBase[];
  readonly #tables: { flush: () => void }[] = [];
  #running = 0;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(clients: readonly pg.ClientBase[]) {
    this.#idle = [...clients];
  }

  table(schema: string, table: TableDefinition): BulkTable {
    const columns = physicalColumns(table).map(({ name }) => quoted(name));
    columns.push(...intervalColumns(table));
    const sql = `COPY ${quoted(schema)}.${quoted(table.name)} (${columns.join(', ')}) FROM STDIN`;
    let buffer: Buffer | undefined;
    let used = 0;
    const flush = (): void => {
      if (buffer === undefined || used === 0) return;
      this.#waiting.push({ sql, bytes: buffer.subarray(0, used) });
      buffer = undefined;
      used = 0;
      this.#start();
    };
    this.#tables.push({ flush });
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

  /** Writes out what is gathered and waits until everything is in the tables. */
  async finish(): Promise<void> {
    for (const { flush } of this.#tables) flush();
    await this.#until(() => this.#waiting.length === 0 && this.#running === 0);
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
    while (this.#failure === undefined && this.#waiting.length > 0) {
      const client = this.#idle.pop();
      const chunk = client === undefined ? undefined : this.#waiting.shift();
      if (client === undefined || chunk === undefined) return;
      this.#running += 1;
      void this.#copy(client, chunk);
    }
  }

  async #copy(client: pg.ClientBase, { sql, bytes }: Chunk): Promise<void> {
    try {
      await pipeline(Readable.from([bytes], { objectMode: false }), client.query(copyFrom(sql)));
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
