import type pg from 'pg';
import type { RecordedEvent } from '../../eventstore/event-store.js';
import { invariant } from '../../platform/assert.js';
import { oneAtATime } from '../../platform/postgres/one-at-a-time.js';
import { Assembler } from '../assembler.js';
import { advanceCheckpoints, haltCheckpoint, readCheckpoints } from '../checkpoint.js';
import { streamReader } from '../log-reader.js';
import type { Queryable } from '../log-reader.js';
import type { ChainContext, Projection, ProjectedEvent } from '../projection.js';
import { advisoryKey } from '../tables/identifiers.js';
import type { LaneConnection } from '../tables/load-rows.js';
import { writeStatement } from '../tables/write-changes.js';
import type { Statement, StatementEnd } from '../tables/write-changes.js';
import { classifyWriteError } from './classify-write-error.js';
import { GuardLostError } from './guard-lost-error.js';
import { LaneWriter } from './lane-writer.js';
import { createProjectionRuntime } from './projection-runtime.js';
import type { ProjectionRuntime } from './projection-runtime.js';

export interface Halt {
  name: string;
  haltedAt: bigint;
  reason: string;
}

export interface LaneOptions {
  ledger: string;
  schema: string;
  /** Nobody else asks it anything while a batch is applied. */
  client: pg.ClientBase;
  projections: readonly { projection: Projection; generation: bigint }[];
  position: bigint;
  context: ChainContext;
  /** False in a rebuild: nobody else writes there, and no checkpoint moves. */
  guarded: boolean;
  /** Channel on which moves of the checkpoints are told to other processes. */
  announceOn?: string | undefined;
  /** Called whenever more is durable. */
  onMoved?: ((lane: Lane) => void) | undefined;
}

interface Member {
  runtime: ProjectionRuntime;
  generation: bigint;
}

/** What a batch changes, ready to be written. */
interface Computed {
  statement: Statement;
  members: readonly Member[];
  to: bigint;
  /** After its last event. */
  context: ChainContext;
}

/**
 * Projections that stand at the same position and go on in lockstep: one read of the log, one write for all of them.
 * What they cache is valid because only one lane can move a checkpoint.
 */
export class Lane {
  readonly #options: LaneOptions;
  readonly #switchKey: string;
  readonly #database: Queryable;
  readonly #writer: LaneWriter;
  readonly #connection: LaneConnection;
  #members: Member[];
  #assembler: Assembler;
  #position: bigint;
  #context: ChainContext;
  /** Batches that are not durable, the earliest first: at most one is under way while the next is computed. */
  #open: (readonly RecordedEvent[])[] = [];
  /** The last of them while it is not sent. */
  #unsent: Computed | undefined;
  #sending: Promise<void> | undefined;
  /** The batch after them, read and its rows loaded. */
  #ahead: { events: readonly RecordedEvent[]; projected: readonly ProjectedEvent[] } | undefined;

  constructor(options: LaneOptions) {
    this.#options = options;
    this.#switchKey = advisoryKey(options.ledger, 'switch');
    this.#position = options.position;
    this.#context = options.context;
    this.#database = oneAtATime(options.client);
    this.#writer = new LaneWriter(this.#database);
    this.#connection = { run: this.#writer.run, sendBatch: () => this.#send() };
    this.#assembler = this.#newAssembler();
    this.#members = options.projections.map(({ projection, generation }) => ({
      generation,
      runtime: createProjectionRuntime(projection, options.schema, this.#connection),
    }));
  }

  /** Up to here everything is durable. */
  get position(): bigint {
    return this.#position;
  }

  get context(): ChainContext {
    return this.#context;
  }

  get names(): string[] {
    return this.#members.map(({ runtime }) => runtime.projection.name);
  }

  /** Takes in projections that have come to the same position. */
  join(projections: readonly { projection: Projection; generation: bigint }[]): void {
    for (const { projection, generation } of projections) {
      invariant(!this.names.includes(projection.name), `projection ${projection.name} is in the lane already`);
      const runtime = createProjectionRuntime(projection, this.#options.schema, this.#connection);
      this.#members.push({ generation, runtime });
    }
  }

  /**
   * Applies events to all projections and writes everything with the checkpoints, or nothing. A projection that cannot apply
   * an event is halted before it and leaves the lane; the others go on.
   *
   * Where it is known already what follows, the write goes on while that is computed: `position` tells what is durable. Without
   * `following`, everything is when this settles; with it, the next call must bring it, unless this one answers halts or throws.
   *
   * @returns the projections that were halted
   * @throws GuardLostError, RetryableError; then what is not durable was not written, as far as is known, and nothing is cached
   */
  async apply(events: readonly RecordedEvent[], following: readonly RecordedEvent[] = []): Promise<Halt[]> {
    if (events.length === 0 || this.#members.length === 0) return [];
    const front = this.#front;
    events.forEach(({ position }, index) => {
      const expected = front + BigInt(index) + 1n;
      invariant(position === expected, `ledger ${this.#options.ledger}: expected event ${expected}, got ${position}`);
    });
    this.#open.push(events);
    try {
      this.#unsent = await this.#compute(this.#members, events);
      const isReady = following.length === 0 || (await this.#prepare(following));
      await this.#send();
      if (following.length === 0 || !isReady) await this.#writer.durable();
      // What follows cannot even be read: it says why when it is its turn, from a clean start.
      if (!isReady) this.#forget();
      return [];
    } catch (error) {
      return await this.#recover(error);
    }
  }

  /** Position of the last event that was taken, durable or not. */
  get #front(): bigint {
    return this.#open.reduce((position, events) => position + BigInt(events.length), this.#position);
  }

  /** What is not durable is done again, batch by batch; one that fails alone is closed in on. */
  async #recover(error: unknown): Promise<Halt[]> {
    await this.#writer.settle();
    const open = this.#open;
    this.#forget();
    // Everything is written: it was somebody who was told of it that failed.
    if (open.length === 0) throw error;
    if (open.length !== 1) return await this.#applyEach(open);
    const [events = []] = open;
    await this.#throwUnlessPoison(error, this.#members);
    if (events.length === 1) return await this.#applyApart(events);
    // Somewhere in here is an event that a projection cannot take.
    const middle = events.length >> 1;
    return await this.#applyEach([events.slice(0, middle), events.slice(middle)]);
  }

  async #applyEach(batches: readonly (readonly RecordedEvent[])[]): Promise<Halt[]> {
    const halts: Halt[] = [];
    for (const events of batches) halts.push(...(await this.apply(events)));
    return halts;
  }

  /** One event, each projection in a transaction of its own: those that fail are halted. */
  async #applyApart(events: readonly RecordedEvent[]): Promise<Halt[]> {
    const halts: Halt[] = [];
    const healthy: Member[] = [];
    let after: ChainContext | undefined;
    for (const member of this.#members) {
      try {
        const { statement, context } = await this.#compute([member], events);
        await this.#writer.send(statement, () => undefined);
        await this.#writer.durable();
        healthy.push(member);
        after = context;
      } catch (error) {
        await this.#writer.settle();
        await this.#throwUnlessPoison(error, [member]);
        halts.push({
          name: member.runtime.projection.name,
          haltedAt: this.#position + 1n,
          reason: error instanceof Error ? error.message : String(error),
        });
      }
      this.#forget();
    }
    for (const halt of halts) await this.#writeHalt(halt);
    this.#members = healthy;
    if (after !== undefined) {
      this.#moved(this.#position + 1n, after);
      this.#assembler = this.#newAssembler();
    }
    return halts;
  }

  async #throwUnlessPoison(error: unknown, members: readonly Member[]): Promise<void> {
    const failure = classifyWriteError(error);
    if (failure === 'poison') return;
    if (failure !== 'duplicate') throw failure;
    if (this.#options.guarded && !(await this.#isInPlace(members))) {
      throw new GuardLostError('another writer was faster', {}, { cause: error });
    }
  }

  /** The checkpoints are where this lane left them. */
  async #isInPlace(members: readonly Member[]): Promise<boolean> {
    const checkpoints = await readCheckpoints(this.#database, this.#options.ledger);
    return members.every(({ runtime, generation }) => {
      const checkpoint = checkpoints.get(runtime.projection.name);
      return checkpoint?.position === this.#position && checkpoint.generation === generation;
    });
  }

  async #writeHalt(halt: Halt): Promise<void> {
    if (!this.#options.guarded) return;
    const member = this.#members.find(({ runtime }) => runtime.projection.name === halt.name);
    invariant(member !== undefined, `projection ${halt.name} is not in the lane`);
    await haltCheckpoint(this.#database, this.#options.ledger, { ...halt, generation: member.generation });
  }

  /** What the events change. The next batch builds on it, whether it is written yet or not. */
  async #compute(members: readonly Member[], events: readonly RecordedEvent[]): Promise<Computed> {
    const projected = this.#ahead?.events === events ? this.#ahead.projected : await this.#read(members, events);
    this.#ahead = undefined;
    for (const { runtime } of members) for (const event of projected) runtime.apply(event);
    const changes = members.flatMap(({ runtime }) => runtime.changes());
    const context = projected.at(-1) ?? this.#context;
    const to = events.at(-1)?.position ?? this.#position;
    const finish = this.#finish(members, to - BigInt(events.length), to, context);
    const statement = writeStatement(this.#options.schema, changes, finish);
    for (const { runtime } of members) runtime.seal();
    return { statement, members, to, context: { tip: context.tip, policy: context.policy } };
  }

  async #read(members: readonly Member[], events: readonly RecordedEvent[]): Promise<ProjectedEvent[]> {
    const projected: ProjectedEvent[] = [];
    for (const event of events) projected.push(await this.#assembler.assemble(event));
    // All at once: one question is on its way to the database while the answer to another is taken in. And all to their end: what
    // came late would be of a batch that is forgotten.
    const loads = await Promise.allSettled(members.map(({ runtime }) => runtime.load(projected)));
    for (const load of loads) if (load.status === 'rejected') throw load.reason;
    return projected;
  }

  /** Loads what follows before the batch at hand is sent: behind its write it would have to wait. False where that fails. */
  async #prepare(following: readonly RecordedEvent[]): Promise<boolean> {
    try {
      this.#ahead = { events: following, projected: await this.#read(this.#members, following) };
      return true;
    } catch {
      return false;
    }
  }

  /** Sends what is computed, when what was sent before is durable. Who asks while it is under way waits for the same. */
  async #send(): Promise<void> {
    if (this.#unsent === undefined) return;
    this.#sending ??= this.#sendOne(this.#unsent).finally(() => {
      this.#sending = undefined;
    });
    await this.#sending;
  }

  async #sendOne({ statement, members, to, context }: Computed): Promise<void> {
    await this.#writer.send(statement, () => {
      this.#open.shift();
      this.#moved(to, context);
    });
    this.#unsent = undefined;
    for (const { runtime } of members) runtime.sent();
  }

  #moved(position: bigint, context: ChainContext): void {
    this.#position = position;
    this.#context = context;
    this.#options.onMoved?.(this);
  }

  /** What ends the write of a batch: the guard, and the notice to other processes. */
  #finish(members: readonly Member[], from: bigint, to: bigint, context: ChainContext): StatementEnd {
    const { ledger, guarded, announceOn } = this.#options;
    if (!guarded) return { expression: '1', values: [] };
    const moved = members.map(({ runtime, generation }) => ({ name: runtime.projection.name, generation }));
    return advanceCheckpoints({ ledger, moved, from, to, context, switchKey: this.#switchKey, announceOn });
  }

  #forget(): void {
    this.#open = [];
    this.#unsent = undefined;
    this.#ahead = undefined;
    for (const { runtime } of this.#members) runtime.discard();
    this.#assembler = this.#newAssembler();
  }

  #newAssembler(): Assembler {
    return new Assembler(this.#context, streamReader(this.#database, this.#options.ledger));
  }
}
