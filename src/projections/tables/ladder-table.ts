import { LRUCache } from 'lru-cache';
import { invariant } from '../../platform/assert.js';
import { POSITION_INFINITY } from '../../platform/postgres/pool.js';
import type { Clock, Version, VersionSink } from './version.js';

/** A rung: the sums from its height up to the next rung. */
export interface Rung {
  key: string;
  height: number;
  sums: readonly bigint[];
}

export interface LadderLoader {
  /** For each key the open rung with the greatest height ≤ `height`, and every open rung above; ascending. */
  fromHeight(keys: readonly string[], height: number): Promise<Version<Rung>[]>;
}

interface Ladder {
  /** Ascending by height. */
  rungs: Version<Rung>[];
  /** There is no rung below the first one here. */
  complete: boolean;
}

/** Keys kept between batches: a few hundred bytes each. */
const CACHED_LADDERS = 50_000;

/** Rungs kept per cached key: reorgs deeper than this many changes load again. */
const CACHED_RUNGS = 8;

/**
 * Cumulative sums by height. `add` at a height changes every rung from there up, `cutFrom` takes the rungs from a height up
 * away: a disconnected block.
 */
export class LadderTable {
  readonly #name: string;
  readonly #zeros: readonly bigint[];
  readonly #clock: Clock;
  readonly #sink: VersionSink<Rung>;
  readonly #loader: LadderLoader | undefined;
  readonly #ladders = new Map<string, Ladder>();
  readonly #cache = new LRUCache<string, Ladder>({ max: CACHED_LADDERS });

  constructor(name: string, width: number, clock: Clock, sink: VersionSink<Rung>, loader: LadderLoader | undefined) {
    this.#name = name;
    this.#zeros = new Array<bigint>(width).fill(0n);
    this.#clock = clock;
    this.#sink = sink;
    this.#loader = loader;
  }

  /** Sums of the greatest rung ≤ `height`. */
  at(key: string, height: number): readonly bigint[] {
    const { rungs, complete } = this.#ladder(key);
    const index = lastAtOrBelow(rungs, height);
    invariant(index >= 0 || complete, `table ${this.#name}: ${key} was not loaded down to height ${height}`);
    return rungs[index]?.row.sums ?? this.#zeros;
  }

  /** Sums of the highest rung. */
  top(key: string): readonly bigint[] {
    return this.at(key, Infinity);
  }

  /** Adds to the sums at `height` and above. Zeros change nothing. */
  add(key: string, height: number, deltas: readonly bigint[]): void {
    invariant(deltas.length === this.#zeros.length, `table ${this.#name} has ${this.#zeros.length} sums`);
    if (deltas.every((delta) => delta === 0n)) return;
    const { rungs, complete } = this.#ladder(key);
    const index = lastAtOrBelow(rungs, height);
    invariant(index >= 0 || complete, `table ${this.#name}: ${key} was not loaded down to height ${height}`);
    let first = index;
    if (rungs[index]?.row.height !== height) {
      first = index + 1;
      rungs.splice(first, 0, this.#opened({ key, height, sums: plus(rungs[index]?.row.sums ?? this.#zeros, deltas) }));
    } else {
      this.#replace(rungs, first, deltas);
    }
    for (let above = first + 1; above < rungs.length; above += 1) this.#replace(rungs, above, deltas);
  }

  /** Takes away the rungs at `height` and above. */
  cutFrom(key: string, height: number): void {
    const { rungs } = this.#ladder(key);
    while (rungs.length > 0) {
      const last = rungs[rungs.length - 1];
      if (last === undefined || last.row.height < height) return;
      last.to = this.#clock.position;
      this.#sink.closed(last);
      rungs.pop();
    }
  }

  /** Brings in what changes of these keys at `height` and above need. */
  async load(keys: Iterable<string>, height: number): Promise<void> {
    if (this.#loader === undefined) return;
    const missing: string[] = [];
    for (const key of new Set(keys)) {
      const ladder = this.#ladders.get(key) ?? this.#cache.get(key);
      if (ladder !== undefined && reaches(ladder, height)) this.#ladders.set(key, ladder);
      else missing.push(key);
    }
    if (missing.length === 0) return;
    const loaded = new Map<string, Version<Rung>[]>(missing.map((key) => [key, []]));
    for (const version of await this.#loader.fromHeight(missing, height)) loaded.get(version.row.key)?.push(version);
    for (const [key, rungs] of loaded) {
      this.#ladders.set(key, { rungs, complete: rungs[0] === undefined || rungs[0].row.height > height });
    }
  }

  *openVersions(): Iterable<Version<Rung>> {
    for (const { rungs } of this.#ladders.values()) yield* rungs;
  }

  written(): void {
    if (this.#loader === undefined) return;
    for (const [key, ladder] of this.#ladders) {
      if (ladder.rungs.length > CACHED_RUNGS) {
        ladder.rungs = ladder.rungs.slice(-CACHED_RUNGS);
        ladder.complete = false;
      }
      this.#cache.set(key, ladder);
    }
    this.#ladders.clear();
  }

  discard(): void {
    this.#cache.clear();
    this.#ladders.clear();
  }

  #ladder(key: string): Ladder {
    let ladder = this.#ladders.get(key);
    if (ladder === undefined) {
      invariant(this.#loader === undefined, `table ${this.#name}: ${key} was not loaded`);
      ladder = { rungs: [], complete: true };
      this.#ladders.set(key, ladder);
    }
    return ladder;
  }

  #opened(row: Rung): Version<Rung> {
    const version = { row, from: this.#clock.position, to: POSITION_INFINITY, stored: false };
    this.#sink.opened(version);
    return version;
  }

  #replace(rungs: Version<Rung>[], index: number, deltas: readonly bigint[]): void {
    const old = rungs[index];
    invariant(old !== undefined, `table ${this.#name}: no rung ${index}`);
    const { key, height, sums } = old.row;
    old.to = this.#clock.position;
    this.#sink.closed(old);
    rungs[index] = this.#opened({ key, height, sums: plus(sums, deltas) });
  }
}

function reaches({ rungs, complete }: Ladder, height: number): boolean {
  return complete || (rungs[0] !== undefined && rungs[0].row.height <= height);
}

function lastAtOrBelow(rungs: readonly Version<Rung>[], height: number): number {
  // From the top: nearly always the last one.
  let index = rungs.length - 1;
  while (index >= 0 && (rungs[index]?.row.height ?? 0) > height) index -= 1;
  return index;
}

function plus(sums: readonly bigint[], deltas: readonly bigint[]): bigint[] {
  return sums.map((sum, index) => sum + (deltas[index] ?? 0n));
}
