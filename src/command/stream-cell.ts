import type { DomainEvent } from '../domain/events/event-types.js';
import { isEventType } from '../domain/events/event-types.js';
import type { EventStore, ExpectedRevision } from '../eventstore/event-store.js';
import { invariant } from '../platform/assert.js';

/** Events per read when a stream is loaded. */
const PAGE = 1_000;

/** A state and the revision of the last event in it. */
export interface Versioned<S> {
  state: S;
  revision: ExpectedRevision;
  /** Of the last event in it; null where there is none. */
  eventId: string | null;
}

export interface Evolution<S> {
  initialState: S;
  evolve: (state: S, event: DomainEvent) => S;
}

/**
 * What this process knows of one stream: `committed` was read from the store or acknowledged by it; `tentative` is built on
 * appends that are on their way. When one of those fails, everything tentative is dropped and the stream is caught up.
 */
export class StreamCell<S> {
  #committed: Versioned<S>;
  /** Undefined: the store has to be read before the next decision. */
  #tentative: Versioned<S> | undefined;
  #catchUp: Promise<void> | undefined;
  /** Raised whenever tentative state is dropped, so that what was built on it is told apart. */
  #generation = 0;
  readonly #pending = new Set<Promise<unknown>>();

  constructor(
    readonly stream: string,
    private readonly store: EventStore,
    private readonly evolution: Evolution<S>,
  ) {
    this.#committed = { state: evolution.initialState, revision: 'no-stream', eventId: null };
  }

  get committed(): Versioned<S> {
    return this.#committed;
  }

  get hasPending(): boolean {
    return this.#pending.size > 0;
  }

  /** Brings the stream in. What it answers may have been built upon when the caller goes on: decide on `current`. */
  async ready(): Promise<Versioned<S>> {
    while (this.#tentative === undefined) {
      this.#catchUp ??= this.#readOn().finally(() => {
        this.#catchUp = undefined;
      });
      await this.#catchUp;
    }
    return this.#tentative;
  }

  /** The newest state, as of now: what is tentative where there is any. */
  get current(): Versioned<S> | undefined {
    return this.#tentative;
  }

  /** Drops what is tentative: the next decision reads the store first. */
  invalidate(): void {
    this.#generation += 1;
    this.#tentative = undefined;
  }

  /** Builds on an append that is on its way; call at once after it was submitted, in the same turn as the decision. */
  advance(events: readonly DomainEvent[], lastEventId: string | null): { generation: number; after: Versioned<S> } {
    const from = this.#tentative;
    invariant(from !== undefined, 'a decision is made on a loaded stream');
    const after: Versioned<S> = {
      state: events.reduce(this.evolution.evolve, from.state),
      revision: (from.revision === 'no-stream' ? -1n : from.revision) + BigInt(events.length),
      eventId: lastEventId ?? from.eventId,
    };
    this.#tentative = after;
    return { generation: this.#generation, after };
  }

  track(append: Promise<unknown>): void {
    this.#pending.add(append);
    const done = (): void => {
      this.#pending.delete(append);
    };
    append.then(done, done);
  }

  /** The append that led to `after` is durable. */
  confirm(advance: { generation: number; after: Versioned<S> }): void {
    if (advance.generation === this.#generation && isNewer(advance.after.revision, this.#committed.revision)) {
      this.#committed = advance.after;
    }
  }

  /** The append of this generation did not happen as submitted. */
  fail(generation: number): void {
    if (generation === this.#generation) this.invalidate();
  }

  /** Waits until the appends that are under way now have settled, however they end. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#pending);
  }

  async #readOn(): Promise<void> {
    // Appends that were built on what was dropped must have settled: else they could move the stream behind this read.
    await this.settled();
    const generation = this.#generation;
    let { state, revision, eventId } = this.#committed;
    for (;;) {
      const from = revision === 'no-stream' ? 0n : revision + 1n;
      const events = await this.store.readStream(this.stream, from, PAGE);
      for (const [offset, event] of events.entries()) {
        invariant(event.revision === from + BigInt(offset), `stream ${this.stream} is contiguous`);
        invariant(isEventType(event.type), `stream ${this.stream} holds known events: ${event.type}`);
        // Checked when it was written, upcast when it was read.
        state = this.evolution.evolve(state, { type: event.type, data: event.data } as DomainEvent);
        ({ revision, id: eventId } = event);
      }
      if (events.length < PAGE) break;
    }
    if (generation !== this.#generation) return;
    this.#committed = { state, revision, eventId };
    this.#tentative = this.#committed;
  }
}

function isNewer(revision: ExpectedRevision, than: ExpectedRevision): boolean {
  if (revision === 'no-stream') return false;
  return than === 'no-stream' || revision > than;
}
