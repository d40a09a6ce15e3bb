import { POSITION_INFINITY } from '../../platform/postgres/pool.js';

/** Position of the event that is being applied; shared by the tables of a lane. */
export interface Clock {
  position: bigint;
}

/** One row with its interval. `row` has the table's columns by name. */
export interface Version<R> {
  row: R;
  from: bigint;
  to: bigint;
  /** The database has this row, or gets it before anything that comes later. */
  stored: boolean;
}

/** Where versions go as they begin and end. Live: gathered for one write. In a rebuild: written out as soon as they have ended. */
export interface VersionSink<R> {
  /** What has ended is written out already and not kept: the object may be used for the next version. Spares a rebuild garbage. */
  readonly isDoneWhenClosed: boolean;
  opened(version: Version<R>): void;
  closed(version: Version<R>): void;
}

export interface Changes {
  /** Rows to insert; their interval may have ended already. */
  inserts: Version<object>[];
  /** Rows of the database to end at `to`; of `row` only the key counts. */
  closes: Version<object>[];
}

/** Gathers the changes of a batch, for one write. */
export class BatchSink<R extends object> implements VersionSink<R> {
  readonly isDoneWhenClosed = false;
  readonly #keepsEnds: boolean;
  readonly #keepsEnded: boolean;
  #inserts: Version<R>[] = [];
  #closes: Version<R>[] = [];

  /**
   * @param keepsEnds false where the table is not told when a row ended
   * @param keepsEnded false where rows that have ended are not in the table
   */
  constructor({ keepsEnds, keepsEnded }: { keepsEnds: boolean; keepsEnded: boolean }) {
    this.#keepsEnds = keepsEnds;
    this.#keepsEnded = keepsEnded;
  }

  opened(version: Version<R>): void {
    this.#inserts.push(version);
  }

  closed(version: Version<R>): void {
    if (version.stored && this.#keepsEnds) this.#closes.push(version);
  }

  /** Leaves out what was opened and replaced at one position: its interval is empty. */
  changes(): Changes {
    const isThere = this.#keepsEnded
      ? ({ from, to }: Version<R>) => from < to
      : ({ to }: Version<R>) => to === POSITION_INFINITY;
    return { inserts: this.#inserts.filter(isThere), closes: this.#closes };
  }

  /** The changes go out as they are now: what comes builds on them. */
  seal(): void {
    for (const version of this.#inserts) version.stored = true;
    this.clear();
  }

  clear(): void {
    this.#inserts = [];
    this.#closes = [];
  }
}
