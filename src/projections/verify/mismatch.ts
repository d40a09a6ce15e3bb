/** Something that is not as the log says, or as the log must be. */
export interface Mismatch {
  /**
   * - `log`: the order itself (positions, revisions, times)
   * - `event`: an event that is not as its schema says, or cannot be applied
   * - `postings`, `books`: money
   * - `projection`: a read model that is not live
   * - `table`: a row of a read table
   */
  kind: 'log' | 'event' | 'postings' | 'books' | 'projection' | 'table';
  /** Table, book, stream or projection. */
  where: string;
  /** Which row, event or position. */
  key: string;
  /** Null where there is none. */
  stored: string | null;
  /** What it should be; null where nothing should be there. */
  expected: string | null;
}

/** Gathers mismatches; lists the first ones, counts all. */
export class MismatchList {
  readonly listed: Mismatch[] = [];
  #total = 0;
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get total(): number {
    return this.#total;
  }

  add(mismatch: Mismatch): void {
    this.#total += 1;
    if (this.listed.length < this.#limit) this.listed.push(mismatch);
  }

  /** Counts what is not listed. */
  addUnlisted(count: number): void {
    this.#total += count;
  }

  addAll(other: MismatchList): void {
    for (const mismatch of other.listed) this.add(mismatch);
    this.addUnlisted(other.total - other.listed.length);
  }

  get room(): number {
    return this.#limit - this.listed.length;
  }
}
