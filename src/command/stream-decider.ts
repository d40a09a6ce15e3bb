import type { LRUCache } from 'lru-cache';
import { boundedCache } from '../platform/bounded-cache.js';
import type { DomainEvent } from '../domain/events/event-types.js';
import { isRejection, type Rejection } from '../domain/rejection.js';
import type {
  AppendRequest,
  AppendResult,
  EventStore,
  ExpectedRevision,
  NewEvent,
  StoredOutcome,
} from '../eventstore/event-store.js';
import { BusyError, RetryableError } from '../platform/errors.js';
import { invariant, InvariantError } from '../platform/assert.js';
import { StreamCell, type Evolution, type Versioned } from './stream-cell.js';

/** Streams kept in memory: some hundred bytes each, so about 50 MB. */
const MAX_CELLS = 100_000;
/** Tries to get a decision in. Each follows a change of the stream by somebody else: so many in a row mean a crowd. */
const MAX_ATTEMPTS = 30;
/** From this attempt on, a decision waits until nothing else of this process is under way on its stream. */
const ALONE_FROM_ATTEMPT = 4;
/** Tries where the store did not answer; `retryDelayMs` doubles from one to the next. */
const MAX_STORE_FAILURES = 4;
const RETRY_DELAY_MS = 25;

export interface Decision<D> {
  /** None: it is so already, nothing is to be written. */
  events: readonly DomainEvent[];
  /** What belongs to the decision beyond its events. */
  detail: D;
}

export interface DecideRequest<S, F, D> {
  stream: string;
  /** Looks up what the decision needs beside the stream; anew for each attempt (1, 2, 3 …). */
  prepare: (known: { newest: S; committed: S }, attempt: number) => Promise<F>;
  /** Pure and synchronous. `again`: the facts do not reach far enough, look them up once more. */
  decide: (state: S, facts: F) => Decision<D> | Rejection | 'again';
  /**
   * The events ready for the store, and the idempotency record. `revision`: that the first of them will have. `after`: the event that
   * was decided upon, the last of the stream.
   */
  toAppend: (
    decision: Decision<D>,
    revision: bigint,
    after: string | null,
  ) => { events: readonly NewEvent[]; idempotency: AppendRequest['idempotency'] };
}

export type DecideResult<D> =
  | { kind: 'appended'; position: bigint; detail: D }
  | { kind: 'unchanged'; detail: D }
  /** `uncertain`: an earlier try of this very call may have done it, and this one found what it did. */
  | { kind: 'rejected'; rejection: Rejection; uncertain: boolean }
  | { kind: 'key-used'; stored: StoredOutcome; uncertain: boolean };

type Attempt<D> =
  | { kind: 'appended'; position: bigint; detail: D }
  | { kind: 'unchanged'; detail: D }
  | { kind: 'rejected'; rejection: Rejection }
  | { kind: 'key-used'; stored: StoredOutcome }
  /** Something else was there first: decide again. */
  | undefined;

export interface StreamDeciderOptions<S> {
  store: EventStore;
  evolution: Evolution<S>;
  sleep: (ms: number) => Promise<void>;
  /** Streams kept in memory; by default as many as fit where a state is some hundred bytes. */
  maxCells?: number;
}

/**
 * Decides on streams of one kind. A decision is made on the newest state, tentative or not, and its append is submitted in the
 * same turn with the revision that this state has: appends of a hot stream go into one batch, one upon the other, and nobody
 * waits for the commit of the one before. When an append fails, those built on it fail as well, and all are decided again
 * on what is really there.
 */
export class StreamDecider<S> {
  readonly #cells: LRUCache<string, StreamCell<S>>;

  constructor(private readonly options: StreamDeciderOptions<S>) {
    this.#cells = boundedCache(options.maxCells ?? MAX_CELLS);
  }

  get evolve(): (state: S, event: DomainEvent) => S {
    return this.options.evolution.evolve;
  }

  /**
   * @throws BusyError when the stream changed under every attempt, or the store's queue is full: nothing was written
   * @throws RetryableError when the store did not answer: the outcome is not known, the same key may be sent again
   */
  async run<F, D>(request: DecideRequest<S, F, D>): Promise<DecideResult<D>> {
    let failures = 0;
    const tries = { uncertain: false };
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
      const cell = this.#cell(request.stream);
      try {
        const result = await this.#attempt(cell, request, attempt, tries);
        if (result === undefined) continue;
        if (result.kind === 'appended' || result.kind === 'unchanged') return result;
        return { ...result, uncertain: tries.uncertain };
      } catch (error) {
        if (!(error instanceof RetryableError) || error instanceof BusyError) throw error;
        failures += 1;
        if (failures >= MAX_STORE_FAILURES) throw error;
        await this.options.sleep(RETRY_DELAY_MS * 2 ** failures);
      }
    }
    throw new BusyError(`stream ${request.stream} changes all the time`, 1);
  }

  async #attempt<F, D>(
    cell: StreamCell<S>,
    request: DecideRequest<S, F, D>,
    attempt: number,
    tries: { uncertain: boolean },
  ): Promise<Attempt<D>> {
    if (attempt >= ALONE_FROM_ATTEMPT) await cell.settled();
    const newest = await cell.ready();
    const facts = await request.prepare({ newest: newest.state, committed: cell.committed.state }, attempt);
    // From `current` to the append nothing is awaited: nobody else decides in between.
    while (cell.current === undefined) await cell.ready();
    const version = cell.current;
    const decided = this.#decide(cell, version, request, facts);
    // Awaited only where it is a promise: a decision is appended in the turn that made it.
    const decision = decided instanceof Promise ? await decided : decided;
    if (decision === 'again') return undefined;
    if (isRejection(decision)) return await this.#rejected(cell, version, request, facts, decision);
    if (decision.events.length === 0) return await this.#unchanged(cell, version, decision.detail);
    return await this.#append(cell, version, request, decision, tries);
  }

  /**
   * What must never be asked is a bug, and stops the process; but only where it was asked of what is committed and newest, not of a
   * state that another process has left behind.
   */
  #decide<F, D>(
    cell: StreamCell<S>,
    version: Versioned<S>,
    request: DecideRequest<S, F, D>,
    facts: F,
  ): Decision<D> | Rejection | 'again' | Promise<'again'> {
    try {
      return request.decide(version.state, facts);
    } catch (error) {
      if (!(error instanceof InvariantError)) throw error;
      return this.#againUnlessNewest(cell, version, error);
    }
  }

  async #againUnlessNewest(cell: StreamCell<S>, version: Versioned<S>, error: InvariantError): Promise<'again'> {
    if (cell.hasPending) await cell.settled();
    else if (await this.#isNewest(cell, version)) throw error;
    return 'again';
  }

  async #append<F, D>(
    cell: StreamCell<S>,
    version: Versioned<S>,
    request: DecideRequest<S, F, D>,
    decision: Decision<D>,
    tries: { uncertain: boolean },
  ): Promise<Attempt<D>> {
    invariant(cell.current === version, 'a decision is appended in the turn that made it');
    const { events, idempotency } = request.toAppend(
      decision,
      version.revision === 'no-stream' ? 0n : version.revision + 1n,
      version.eventId,
    );
    const appending = this.options.store.append({
      stream: request.stream,
      expectedRevision: version.revision,
      events,
      ...(idempotency === undefined ? {} : { idempotency }),
    });
    const advance = cell.advance(decision.events, events.at(-1)?.id ?? null);
    cell.track(appending);
    let result: AppendResult;
    try {
      result = await appending;
    } catch (error) {
      cell.fail(advance.generation);
      tries.uncertain = true;
      throw error;
    }
    switch (result.kind) {
      case 'appended':
        if (result.alreadyThere && !(await this.#isOurs(request.stream, version.revision, idempotency?.key))) {
          cell.fail(advance.generation);
          return undefined;
        }
        cell.confirm(advance);
        invariant(result.position !== null, 'an append of events has a position');
        return { kind: 'appended', position: result.position, detail: decision.detail };
      case 'wrong-expected-revision':
        cell.fail(advance.generation);
        return undefined;
      case 'key-used':
        cell.fail(advance.generation);
        return result;
    }
  }

  /**
   * An event that stood there before may be our own, its acknowledgement lost, or that of another command which gives its
   * event the same id: a transfer with the same sender and transfer id, sent through another process at the same moment.
   */
  async #isOurs(stream: string, expected: ExpectedRevision, key: string | undefined): Promise<boolean> {
    const [event] = await this.options.store.readStream(stream, expected === 'no-stream' ? 0n : expected + 1n, 1);
    return event?.metadata.idempotencyKey === key;
  }

  /**
   * A refusal is final only where it holds for what is committed: the appends that it was built on may fail, and another
   * process may have written. So the stream is read on, and what is there is asked once more.
   */
  async #rejected<F, D>(
    cell: StreamCell<S>,
    version: Versioned<S>,
    request: DecideRequest<S, F, D>,
    facts: F,
    rejection: Rejection,
  ): Promise<Attempt<D>> {
    if (cell.hasPending) {
      const onCommitted = request.decide(cell.committed.state, facts);
      // What leaves an account only grows: if it does not suffice without the appends under way, it does not with them.
      if (onCommitted === 'again' || !isRejection(onCommitted)) {
        await cell.settled();
        return undefined;
      }
      return { kind: 'rejected', rejection: onCommitted };
    }
    return (await this.#isNewest(cell, version)) ? { kind: 'rejected', rejection } : undefined;
  }

  /** That nothing is to be done holds, as a refusal does, only for what is committed and newest. */
  async #unchanged<D>(cell: StreamCell<S>, version: Versioned<S>, detail: D): Promise<Attempt<D>> {
    if (cell.hasPending) {
      await cell.settled();
      return undefined;
    }
    return (await this.#isNewest(cell, version)) ? { kind: 'unchanged', detail } : undefined;
  }

  /** Whether another process wrote nothing after this; if it did, the cell is read on before the next decision. */
  async #isNewest(cell: StreamCell<S>, version: Versioned<S>): Promise<boolean> {
    const next = version.revision === 'no-stream' ? 0n : version.revision + 1n;
    const events = await this.options.store.readStream(cell.stream, next, 1);
    if (events.length === 0) return true;
    cell.invalidate();
    return false;
  }

  /** The state of a stream with all that is committed in it, by whichever process. */
  async read(stream: string): Promise<S> {
    const cell = this.#cell(stream);
    await cell.ready();
    // Of what is tentative nobody may be told: it may not come to be.
    await cell.settled();
    const { committed } = cell;
    if (await this.#isNewest(cell, committed)) return committed.state;
    await cell.ready();
    return cell.committed.state;
  }

  /** A committed state of a stream, perhaps not the newest: for what cannot change any more once it is so. */
  async readKnown(stream: string): Promise<S> {
    const cell = this.#cell(stream);
    await cell.ready();
    return cell.committed.state;
  }

  /** The last event of a stream that this process knows of; null where it has none. */
  async lastEventId(stream: string): Promise<string | null> {
    const cell = this.#cell(stream);
    await cell.ready();
    return cell.committed.eventId;
  }

  #cell(stream: string): StreamCell<S> {
    const known = this.#cells.get(stream);
    if (known !== undefined) return known;
    const cell = new StreamCell(stream, this.options.store, this.options.evolution);
    this.#cells.set(stream, cell);
    return cell;
  }
}
