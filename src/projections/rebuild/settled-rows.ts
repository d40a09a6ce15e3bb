import type { RowTable } from '../tables/row-table.js';
import { BelowWindowError } from '../tables/ladder-table.js';
import type { RowTableDefinition } from '../tables/table-definition.js';
import type { Version } from '../tables/version.js';

/**
 * Keeps the memory of a rebuild in proportion to what can still change, not to the length of the log: open rows that only a reorg deeper
 * than the window could change go out for good.
 */
export class SettledRows<R extends object> {
  readonly #settledAt: (row: R) => number | null;
  readonly #window: number;
  readonly #name: string;
  readonly #keys = new Map<number, string[]>();
  /** Rows of blocks up to this height are out. */
  #upTo: number | undefined;

  /** @param window blocks below the tip that a reorg may reach */
  constructor(definition: RowTableDefinition<R>, settledAt: (row: R) => number | null, window: number) {
    this.#settledAt = settledAt;
    this.#window = window;
    this.#name = definition.name;
  }

  opened({ row }: Version<R>, key: string): void {
    const height = this.#settledAt(row);
    if (height === null) return;
    const keys = this.#keys.get(height);
    if (keys === undefined) this.#keys.set(height, [key]);
    else keys.push(key);
  }

  /** A block was connected: takes the rows out of the table that are settled by it. */
  *connected(height: number, table: RowTable<R>): Iterable<Version<R>> {
    const upTo = height - this.#window;
    // The first block of the log, wherever its chain begins, settles nothing below it.
    for (let settled = (this.#upTo ?? upTo - 1) + 1; settled <= upTo; settled += 1) {
      for (const key of this.#keys.get(settled) ?? []) {
        const row = table.get(key);
        if (row === undefined || this.#settledAt(row) !== settled) continue;
        const version = table.release(key);
        if (version !== undefined) yield version;
      }
      this.#keys.delete(settled);
    }
    this.#upTo = Math.max(this.#upTo ?? upTo, upTo);
  }

  /** @throws BelowWindowError where rows of the block are out already */
  disconnected(height: number): void {
    if (this.#upTo === undefined || height > this.#upTo) return;
    throw new BelowWindowError(`table ${this.#name}: rows of the block at height ${height} are not in memory`);
  }
}
