import { POSITION_INFINITY } from '../../platform/postgres/pool.js';
import type { Clock, Version, VersionSink } from './version.js';

/** A table whose rows are written once and never looked at again; those of a closable table may be ended. */
export class AppendTable<R extends object> {
  readonly #clock: Clock;
  readonly #sink: VersionSink<R>;
  readonly #keyOf: (row: R) => string;
  /** Rows of this batch that may still be ended before they are written; undefined where rows go out at once. */
  readonly #unwritten: Map<string, Version<R>> | undefined;

  constructor(clock: Clock, sink: VersionSink<R>, keyOf: (row: R) => string, keepsBatch: boolean) {
    this.#clock = clock;
    this.#sink = sink;
    this.#keyOf = keyOf;
    this.#unwritten = keepsBatch ? new Map() : undefined;
  }

  append(row: R): void {
    const version = { row, from: this.#clock.position, to: POSITION_INFINITY, stored: false };
    this.#unwritten?.set(this.#keyOf(row), version);
    this.#sink.opened(version);
  }

  /** Ends the row with the key of `row` that was written at `from`. */
  end(row: R, from: bigint): void {
    const unwritten = this.#unwritten?.get(this.#keyOf(row));
    if (unwritten !== undefined) {
      unwritten.to = this.#clock.position;
      this.#sink.closed(unwritten);
    } else {
      this.#sink.closed({ row, from, to: this.#clock.position, stored: true });
    }
  }

  /** What the batch opened is as good as in the table: it is ended by the next write. */
  seal(): void {
    this.#unwritten?.clear();
  }

  discard(): void {
    this.#unwritten?.clear();
  }
}
