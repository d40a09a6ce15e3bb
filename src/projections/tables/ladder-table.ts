import { boundedCache } from '../../platform/bounded-cache.js';
import { invariant } from '../../platform/assert.js';
import { POSITION_INFINITY } from '../../platform/postgres/pool.js';
import type { LadderDefinition } from './table-definition.js';
import type { Clock, Version, VersionSink } from './version.js';

/** A rung: the sums from its height up to the next rung. */
export interface Rung {
  key: string;
  height: number;
  sums: readonly bigint[];
}

export interface LadderLoader {
  /** The batch that was computed last goes out: what is read from here on sees it. */
  sendBatch(): Promise<void>;
  /** For each key the open rung with the greatest height ≤ `height`, and every open rung above; ascending. */
  fromHeight(keys: readonly string[], height: number): Promise<Version<Rung>[]>;
}

interface Ladder {
  /** Ascending by height. */
  rungs: Version<Rung>[];
  /** There is no rung below the first one here. */
  complete: boolean;
}

/** Keys kept between batches: with one rung 0.7 KiB each, measured: 35 MiB. */
const CACHED_LADDERS = 50_000;

/** Rungs kept per cached key: reorgs deeper than this many changes load again. */
const CACHED_RUNGS = 8;

/** A change below the rungs that a rebuild has kept in memory: it must keep more. */
export class BelowWindowError extends Error {
  override readonly name = 'BelowWindowError';
}

/** How a rebuild keeps ladders small: rungs that are `heights` below a new one go out for good. */
export interface LadderWindow {
  heights: number;
  /** Takes open rungs that no change can reach any more, unless a reorg is deeper than the window. */
  settled(rung: Version<Rung>): void;
}

/** Rungs of one key that a rebuild lets gather before it looks for settled ones. */
const SETTLE_ABOVE = 8;

/**
 * Cumulative sums by height. `add` at a height changes every rung from there up, `cutFrom` takes the rungs from a height up
 * away: a disconnected block.
 */
export class LadderTable {
  readonly #name: string;
  readonly #zeros: readonly bigint[];
  readonly #isEndless: boolean;
  readonly #clock: Clock;
  readonly #sink: VersionSink<Rung>;
  readonly #loader: LadderLoader | undefined;
  readonly #window: LadderWindow | undefined;
  #ladders = new Map<string, Ladder>();
  /** What the batch before has left, while the database does not have it. */
  #unsent: ReadonlyMap<string, Ladder> = new Map();
  readonly #cache = boundedCache<string, Ladder>(CACHED_LADDERS);

  constructor(
    { name, sums, endless }: LadderDefinition,
    clock: Clock,
    sink: VersionSink<Rung>,
    loader: LadderLoader | undefined,
    window?: LadderWindow,
  ) {
    this.#name = name;
    this.#zeros = sums.map(() => 0n);
    this.#isEndless = endless;
    this.#clock = clock;
    this.#sink = sink;
    this.#loader = loader;
    this.#window = window;
  }

  /** Sums of the greatest rung ≤ `height`. */
  at(key: string, height: number): readonly bigint[] {
    const ladder = this.#ladder(key);
    const { rungs } = ladder;
    const index = lastAtOrBelow(rungs, height);
    if (index < 0) this.#assertComplete(ladder, key, height);
    return rungs[index]?.row.sums ?? this.#zeros;
  }

  /** Sums of the highest rung. */
  top(key: string): readonly bigint[] {
    return this.at(key, Infinity);
  }

  /** Adds to the sums at `height` and above. Zeros change nothing. */
  add(key: string, height: number, deltas: readonly bigint[]): void {
    invariant(deltas.length === this.#zeros.length, `table ${this.#name} has ${this.#zeros.length} sums`);
    if (areZero(deltas)) return;
    const ladder = this.#ladder(key);
    const { rungs } = ladder;
    const index = lastAtOrBelow(rungs, height);
    if (index < 0) this.#assertComplete(ladder, key, height);
    const below = rungs[index];
    if (below?.row.height === height) {
      this.#replace(rungs, index, deltas);
    } else {
      const rung = this.#opened({ key, height, sums: plus(below?.row.sums ?? this.#zeros, deltas) });
      if (index === rungs.length - 1) rungs.push(rung);
      else rungs.splice(index + 1, 0, rung);
      if (this.#window !== undefined && rungs.length > Math.min(SETTLE_ABOVE, this.#window.heights)) {
        settle(ladder, height, this.#window);
      }
    }
    const first = below?.row.height === height ? index : lastAtOrBelow(rungs, height);
    for (let above = first + 1; above < rungs.length; above += 1) this.#replace(rungs, above, deltas);
  }

  /** Takes away the rungs at `height` and above. */
  cutFrom(key: string, height: number): void {
    invariant(!this.#isEndless, `table ${this.#name} is declared to take nothing back`);
    const ladder = this.#ladder(key);
    const { rungs } = ladder;
    for (let last = rungs.at(-1); last !== undefined && last.row.height >= height; last = rungs.at(-1)) {
      last.to = this.#clock.position;
      this.#sink.closed(last);
      rungs.pop();
    }
    // Lower rungs may be out already: whether any of them is at this height or above, nobody here knows.
    if (rungs.length === 0 && this.#window !== undefined) this.#assertComplete(ladder, key, height);
  }

  /** Brings in what changes of these keys at `height` and above need. */
  async load(keys: Iterable<string>, height: number): Promise<void> {
    if (this.#loader === undefined) return;
    const missing: string[] = [];
    for (const key of new Set(keys)) {
      const ladder = this.#ladders.get(key) ?? this.#unsent.get(key) ?? this.#cache.get(key);
      if (ladder !== undefined && reaches(ladder, height)) this.#ladders.set(key, ladder);
      else missing.push(key);
    }
    if (missing.length === 0) return;
    if (missing.some((key) => this.#unsent.has(key))) await this.#loader.sendBatch();
    const loaded = new Map<string, Version<Rung>[]>(missing.map((key) => [key, []]));
    for (const version of await this.#loader.fromHeight(missing, height)) loaded.get(version.row.key)?.push(version);
    for (const [key, rungs] of loaded) {
      this.#ladders.set(key, { rungs, complete: rungs[0] === undefined || rungs[0].row.height > height });
    }
  }

  *openVersions(): Iterable<Version<Rung>> {
    for (const { rungs } of this.#ladders.values()) yield* rungs;
  }

  /** The batch is computed and goes out as it is: the next one builds on it. */
  seal(): void {
    if (this.#loader === undefined) return;
    for (const [key, ladder] of this.#ladders) {
      if (ladder.rungs.length > CACHED_RUNGS) {
        ladder.rungs = ladder.rungs.slice(-CACHED_RUNGS);
        ladder.complete = false;
      }
      this.#cache.set(key, ladder);
    }
    this.#unsent = this.#ladders;
    this.#ladders = new Map();
  }

  /** The database has the batch before it answers any question that is asked from here on. */
  sent(): void {
    this.#unsent = new Map();
  }

  discard(): void {
    this.#cache.clear();
    this.#ladders.clear();
    this.sent();
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

  #assertComplete({ complete }: Ladder, key: string, height: number): void {
    if (complete) return;
    const message = `table ${this.#name}: ${key} is not in memory down to height ${height}`;
    if (this.#window !== undefined) throw new BelowWindowError(message);
    invariant(complete, message);
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
    if (this.#sink.isDoneWhenClosed) {
      old.row.sums = plus(sums, deltas);
      old.from = this.#clock.position;
      old.to = POSITION_INFINITY;
      return;
    }
    rungs[index] = this.#opened({ key, height, sums: plus(sums, deltas) });
  }
}

/** Hands over the rungs that are far below `height`, but for the highest of them: what comes above builds on it. */
function settle(ladder: Ladder, height: number, window: LadderWindow): void {
  const keep = lastAtOrBelow(ladder.rungs, height - window.heights);
  if (keep <= 0) return;
  for (const rung of ladder.rungs.splice(0, keep)) window.settled(rung);
  ladder.complete = false;
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

// Loops, not array methods: these two run for every change of every sum.
function areZero(deltas: readonly bigint[]): boolean {
  for (const delta of deltas) if (delta !== 0n) return false;
  return true;
}

function plus(sums: readonly bigint[], deltas: readonly bigint[]): bigint[] {
  const result: bigint[] = [];
  for (let i = 0; i < sums.length; i += 1) result.push((sums[i] ?? 0n) + (deltas[i] ?? 0n));
  return result;
}
