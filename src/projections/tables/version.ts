/** Position of the event that is being applied; shared by the tables of a lane. */
export interface Clock {
  position: bigint;
}

/** One row with its interval. `row` has the table's columns by name. */
export interface Version<R> {
  row: R;
  from: bigint;
  to: bigint;
  /** The database has this row. */
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
  #inserts: Version<R>[] = [];
  #closes: Version<R>[] = [];

  /** @param keepsEnds false where the table does not say when a row ended */
  constructor(keepsEnds: boolean) {
    this.#keepsEnds = keepsEnds;
  }

  opened(version: Version<R>): void {
    this.#inserts.push(version);
  }

  closed(version: Version<R>): void {
    if (version.stored && this.#keepsEnds) this.#closes.push(version);
  }

  /** Leaves out what was opened and replaced at one position: its interval is empty. */
  changes(): Changes {
    return { inserts: this.#inserts.filter(({ from, to }) => from < to), closes: this.#closes };
  }

  /** The changes are in the database. */
  written(): void {
    for (const version of this.#inserts) version.stored = true;
    this.clear();
  }

  clear(): void {
    this.#inserts = [];
    this.#closes = [];
  }
}
