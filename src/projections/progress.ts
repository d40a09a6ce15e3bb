import { readCheckpoints } from './checkpoint.js';
import type { Checkpoint } from './checkpoint.js';
import type { Queryable } from './log-reader.js';

/**
 * How often the checkpoint table is asked while somebody waits and the runner is in another process. A projector that announces its
 * moves is heard at once; this is for those that do not, and for a lost connection.
 */
const WAIT_POLL_MS = 10;

/** A question that is not answered by then is put again. */
const ASK_TIMEOUT_MS = 1_000;

/** How often it is asked for listeners alone. */
const LISTEN_POLL_MS = 250;

export interface ChainTip {
  height: number;
  hash: string;
}

export interface Progress {
  /**
   * Waits until all of `names` (default: every projection) have reached `position`.
   * @returns the lowest position that they have reached, below `position` if the time was up
   */
  waitFor(position: bigint, names: readonly string[] | undefined, timeoutMs: number): Promise<bigint>;
  /** Lowest position that `names` have reached, as far as this process knows; 0n where one is not there or being rebuilt. */
  reached(names?: readonly string[]): bigint;
  /** The chain's tip as of this position where this process knows it: at the last one that it was told or has read. Null: no chain yet. */
  tipAt(position: bigint): ChainTip | null | undefined;
  /** As `reached`, asked of the database; not asked again where the last question is not older than that. */
  refresh(maxAgeMs?: number): Promise<void>;
  /** Calls back after positions moved, once for many moves. Returns the way to stop it. */
  onAdvanced(listener: (position: bigint) => void): () => void;
  close(): void;
}

interface Waiter {
  position: bigint;
  names: readonly string[] | undefined;
  finish: () => void;
}

/** Keeps what is known of the checkpoints: told by the runner in this process, or asked of the database while anybody waits. */
export class ProgressTracker implements Progress {
  readonly #database: Queryable;
  readonly #ledger: string;
  readonly #names: readonly string[];
  readonly #versions: ReadonlyMap<string, number>;
  readonly #positions = new Map<string, bigint>();
  readonly #waiters = new Set<Waiter>();
  readonly #listeners = new Set<(position: bigint) => void>();
  #told = false;
  /** What the log says of a position never changes: true whoever leads. */
  #tip: { position: bigint; tip: ChainTip | null } | undefined;
  /** Counts questions and news; `#newest` is the latest that counted. */
  #clock = 0;
  #newest = 0;
  /** When the last question was put that is answered by now. */
  #askedAtMs = -Infinity;
  #announcing = false;
  #poll: { timer: NodeJS.Timeout; atMs: number } | undefined;
  /** A question is under way until it is answered, or until then. */
  #askingUntilMs = -Infinity;
  #askAgain = false;
  #closed = false;

  constructor(database: Queryable, ledger: string, projections: readonly { name: string; version: number }[]) {
    this.#database = database;
    this.#ledger = ledger;
    this.#names = projections.map(({ name }) => name);
    this.#versions = new Map(projections.map(({ name, version }) => [name, version]));
  }

  /** From the runner in this process: it alone moves checkpoints while it leads. */
  tell(names: readonly string[], position: bigint, tip?: ChainTip | null): void {
    this.#told = true;
    if (tip !== undefined) this.#tip = { position, tip };
    this.#newest = ++this.#clock;
    for (const name of names) this.#positions.set(name, position);
    this.#moved();
  }

  /** The runner in this process leads no more: another one may. */
  leadLost(): void {
    this.#told = false;
    this.#schedulePoll();
  }

  /** What the database says. Tables that are being rebuilt, or of another version of the code, count as not there. */
  take(checkpoints: ReadonlyMap<string, Checkpoint>, asked = ++this.#clock): void {
    // What was told or read since this was asked is newer: an answer that was long under way must not set anything back.
    if (asked < this.#newest) return;
    this.#newest = asked;
    for (const name of this.#names) {
      const checkpoint = checkpoints.get(name);
      const isUsable = checkpoint?.state !== 'rebuilding' && checkpoint?.version === this.#versions.get(name);
      if (checkpoint !== undefined && isUsable) this.#positions.set(name, checkpoint.position);
      else this.#positions.delete(name);
    }
    const lowest = this.reached();
    const there = this.#names.map((name) => checkpoints.get(name)).find((each) => each?.position === lowest);
    if (there !== undefined && this.#positions.get(there.name) === lowest) {
      this.#tip = { position: lowest, tip: there.context.tip };
    }
    this.#moved();
  }

  reached(names: readonly string[] = this.#names): bigint {
    let lowest: bigint | undefined;
    for (const name of names) {
      const position = this.#positions.get(name) ?? 0n;
      if (lowest === undefined || position < lowest) lowest = position;
    }
    return lowest ?? 0n;
  }

  tipAt(position: bigint): ChainTip | null | undefined {
    return this.#tip?.position === position ? this.#tip.tip : undefined;
  }

  async refresh(maxAgeMs = -1): Promise<void> {
    const askedAtMs = performance.now();
    if (askedAtMs - this.#askedAtMs <= maxAgeMs) return;
    const asked = ++this.#clock;
    this.take(await readCheckpoints(this.#database, this.#ledger), asked);
    this.#askedAtMs = Math.max(this.#askedAtMs, askedAtMs);
  }

  async waitFor(position: bigint, names: readonly string[] | undefined, timeoutMs: number): Promise<bigint> {
    if (this.reached(names) >= position || this.#closed) return this.reached(names);
    await new Promise<void>((resolve) => {
      const waiter: Waiter = {
        position,
        names,
        finish: () => {
          clearTimeout(timer);
          this.#waiters.delete(waiter);
          resolve();
        },
      };
      const timer = setTimeout(waiter.finish, timeoutMs);
      this.#waiters.add(waiter);
      this.#schedulePoll();
    });
    return this.reached(names);
  }

  onAdvanced(listener: (position: bigint) => void): () => void {
    this.#listeners.add(listener);
    this.#schedulePoll();
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#poll?.timer);
    for (const waiter of [...this.#waiters]) waiter.finish();
    this.#listeners.clear();
  }

  #moved(): void {
    for (const waiter of [...this.#waiters]) {
      if (this.reached(waiter.names) >= waiter.position) waiter.finish();
    }
    if (this.#announcing || this.#listeners.size === 0) return;
    this.#announcing = true;
    setImmediate(() => {
      this.#announcing = false;
      for (const listener of [...this.#listeners]) listener(this.reached());
    });
  }

  /** Something has moved in another process: asks the database, once for all that is heard meanwhile. */
  ask(): void {
    if (performance.now() < this.#askingUntilMs) this.#askAgain = true;
    else this.#question();
  }

  #question(): void {
    if (!this.#isAwaited()) return;
    // One whose connection hangs is not waited for.
    const untilMs = performance.now() + ASK_TIMEOUT_MS;
    this.#askingUntilMs = untilMs;
    this.#askAgain = false;
    this.#schedulePoll();
    // A question that failed is no answer; the waiter's own time limit says so.
    void this.refresh()
      .catch(() => undefined)
      .finally(() => {
        // Another one took its place meanwhile.
        if (this.#askingUntilMs !== untilMs) return;
        this.#askingUntilMs = -Infinity;
        if (this.#askAgain) this.#question();
      });
  }

  /** Somebody in this process wants to know, and nobody in it tells. */
  #isAwaited(): boolean {
    return !this.#told && !this.#closed && (this.#waiters.size > 0 || this.#listeners.size > 0);
  }

  /** Asks now and then: often for who waits, seldom for who listens. */
  #schedulePoll(): void {
    if (!this.#isAwaited()) return;
    const atMs = performance.now() + (this.#waiters.size > 0 ? WAIT_POLL_MS : LISTEN_POLL_MS);
    // One that is due sooner stays: who comes later must not put it off.
    if (this.#poll !== undefined && this.#poll.atMs <= atMs) return;
    clearTimeout(this.#poll?.timer);
    const timer = setTimeout(
      () => {
        this.#poll = undefined;
        // One is under way: the next look is at the time of the next poll.
        if (performance.now() < this.#askingUntilMs) this.#schedulePoll();
        else this.#question();
      },
      Math.max(0, atMs - performance.now()),
    );
    timer.unref();
    this.#poll = { timer, atMs };
  }
}
