import type { Outbox } from '../outbox/outbox.js';
import type { AsOf, ResolveAsOf, ResolvedAsOf } from './as-of.js';
import { Batches } from './batch.js';
import type { LoadMany } from './batch.js';
import type { OverdueRule } from './overdue.js';
import type { ReadModels } from './ports.js';
import type { ReadDatabase } from './sql/database.js';

/** What readers share for the life of the process. */
export interface ReaderDeps {
  database: ReadDatabase;
  outbox: Outbox;
  readModels: ReadModels;
  resolveAsOf: ResolveAsOf;
  /** When a withdrawal is overdue. */
  overdue?: OverdueRule;
}

/**
 * One request, or one state of a subscription: everything that is asked without a position of its own is read at one
 * position, the newest that `models` have reached when the first field asks.
 */
export class Reader {
  readonly #batches = new Batches();
  readonly #views = new Map<string, Promise<View>>();
  readonly #readAt = new Map<string, ResolvedAsOf>();
  #base: Promise<ResolvedAsOf> | undefined;

  constructor(
    readonly deps: ReaderDeps,
    /** Read models that the request touches. */
    readonly models: readonly string[],
  ) {}

  /** The moment that a field of the request asks about; `path` names the field in `extensions`. */
  async view(asOf: AsOf | null | undefined, path: string): Promise<View> {
    const key = `${asOf?.position ?? ''}/${asOf?.time?.toISOString() ?? ''}/${asOf?.height ?? ''}/${asOf?.blockHash ?? ''}`;
    let view = this.#views.get(key);
    if (view === undefined) {
      view = this.#resolve(asOf).then((at) => new View(this, at, key, isGiven(asOf?.position) || isGiven(asOf?.time)));
      this.#views.set(key, view);
    }
    const resolved = await view;
    this.#readAt.set(path, resolved.at);
    return resolved;
  }

  /** Where the request reads without asOf. */
  base(): Promise<ResolvedAsOf> {
    this.#base ??= this.deps.resolveAsOf(undefined, this.models);
    return this.#base;
  }

  /** What fields were read at, by the name that they have in the answer. */
  get readAt(): ReadonlyMap<string, ResolvedAsOf> {
    return this.#readAt;
  }

  load<K, V>(name: string, key: K, load: LoadMany<K, V>): Promise<V | undefined> {
    return this.#batches.load(name, key, load);
  }

  async #resolve(asOf: AsOf | null | undefined): Promise<ResolvedAsOf> {
    const hasPosition = isGiven(asOf?.position) || isGiven(asOf?.time);
    const hasCut = isGiven(asOf?.height) || isGiven(asOf?.blockHash);
    if (!hasPosition && !hasCut) return this.base();
    if (hasPosition) return this.deps.resolveAsOf(asOf, this.models);
    return this.deps.resolveAsOf({ ...asOf, position: (await this.base()).position }, this.models);
  }
}

/** A reader at one moment. Every object of an answer carries its view, so what is nested is read at the same moment. */
export class View {
  constructor(
    readonly reader: Reader,
    readonly at: ResolvedAsOf,
    readonly key: string,
    /** What was known at a moment that was asked for, rather than what is known now. */
    readonly isPast = false,
  ) {}

  get database(): ReadDatabase {
    return this.reader.deps.database;
  }

  /** Gathers look-ups of this moment; see `Batches`. */
  load<K, V>(name: string, key: K, load: LoadMany<K, V>): Promise<V | undefined> {
    return this.reader.load(`${name}@${this.key}`, key, load);
  }
}

function isGiven(value: unknown): boolean {
  return value !== null && value !== undefined;
}
