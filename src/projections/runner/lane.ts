import type pg from 'pg';
import type { RecordedEvent } from '../../eventstore/event-store.js';
import { invariant } from '../../platform/assert.js';
import { Assembler } from '../assembler.js';
import { haltCheckpoint, readCheckpoints } from '../checkpoint.js';
import { streamReader } from '../log-reader.js';
import type { ChainContext, Projection, ProjectedEvent } from '../projection.js';
import { advisoryKey } from '../tables/identifiers.js';
import type { RunNamed } from '../tables/load-rows.js';
import { writeStatement } from '../tables/write-changes.js';
import type { Statement } from '../tables/write-changes.js';
import { classifyWriteError } from './classify-write-error.js';
import { GuardLostError } from './guard-lost-error.js';
import { createProjectionRuntime } from './projection-runtime.js';
import type { ProjectionRuntime } from './projection-runtime.js';

/** Statements of different shapes that are kept prepared; beyond that they are planned each time. */
const MAX_PREPARED_SHAPES = 300;

export interface Halt {
  name: string;
  haltedAt: bigint;
  reason: string;
}

export interface LaneOptions {
  ledger: string;
  schema: string;
  client: pg.ClientBase;
  projections: readonly { projection: Projection; generation: bigint }[];
  position: bigint;
  context: ChainContext;
  /** False in a rebuild: nobody else writes there, and no checkpoint moves. */
  guarded: boolean;
  /** Channel on which moves of the checkpoints are told to other processes. */
  announceOn?: string | undefined;
}

interface Member {
  runtime: ProjectionRuntime;
  generation: bigint;
}

/**
 * Projections that stand at the same position and go on in lockstep: one read of the log, one write for all of them.
 * What they cache is valid because only one lane can move a checkpoint.
 */
export class Lane {
  readonly #options: LaneOptions;
  readonly #switchKey: string;
  readonly #prepared = new Map<string, string>();
  #members: Member[];
  #assembler: Assembler;
  #position: bigint;
  #context: ChainContext;

  constructor(options: LaneOptions) {
    this.#options = options;
    this.#switchKey = advisoryKey(options.ledger, 'switch');
    this.#position = options.position;
    this.#context = options.context;
    this.#assembler = this.#newAssembler();
    this.#members = options.projections.map(({ projection, generation }) => ({
      generation,
      runtime: createProjectionRuntime(projection, options.schema, this.#run),
    }));
  }

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
      const runtime = createProjectionRuntime(projection, this.#options.schema, this.#run);
      this.#members.push({ generation, runtime });
    }
  }

  /**
   * Applies events to all projections and writes everything with the checkpoints, or nothing. A projection that cannot apply
   * an event is halted before it and leaves the lane; the others go on.
   *
   * @returns the projections that were halted
   * @throws GuardLostError, RetryableError; then nothing was written, as far as is known, and nothing is cached
   */
  async apply(events: readonly RecordedEvent[]): Promise<Halt[]> {
    if (events.length === 0 || this.#members.length === 0) return [];
    events.forEach(({ position }, index) => {
      const expected = this.#position + BigInt(index) + 1n;
      invariant(position === expected, `ledger ${this.#options.ledger}: expected event ${expected}, got ${position}`);
    });
    try {
      await this.#applyTogether(this.#members, events);
      this.#position += BigInt(events.length);
      this.#context = this.#assembler.context;
      return [];
    } catch (error) {
      this.#forget();
      await this.#throwUnlessPoison(error, this.#members);
      if (events.length === 1) return this.#applyApart(events);
      // Somewhere in here is an event that a projection cannot take: close in on it.
      const middle = events.length >> 1;
      const halts = await this.apply(events.slice(0, middle));
      return [...halts, ...(await this.apply(events.slice(middle)))];
    }
  }

  /** One event, each projection in a transaction of its own: those that fail are halted. */
  async #applyApart(events: readonly RecordedEvent[]): Promise<Halt[]> {
    const halts: Halt[] = [];
    const before = this.#context;
    const healthy: Member[] = [];
    let after: ChainContext | undefined;
    for (const member of this.#members) {
      try {
        await this.#applyTogether([member], events);
        healthy.push(member);
        after = this.#assembler.context;
      } catch (error) {
        await this.#throwUnlessPoison(error, [member]);
        halts.push({
          name: member.runtime.projection.name,
          haltedAt: this.#position + 1n,
          reason: error instanceof Error ? error.message : String(error),
        });
      }
      this.#context = before;
      this.#forget();
    }
    for (const halt of halts) await this.#writeHalt(halt);
    this.#members = healthy;
    if (after !== undefined) {
      this.#position += 1n;
      this.#context = after;
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
    const checkpoints = await readCheckpoints(this.#options.client, this.#options.ledger);
    return members.every(({ runtime, generation }) => {
      const checkpoint = checkpoints.get(runtime.projection.name);
      return checkpoint?.position === this.#position && checkpoint.generation === generation;
    });
  }

  async #writeHalt(halt: Halt): Promise<void> {
    if (!this.#options.guarded) return;
    const member = this.#members.find(({ runtime }) => runtime.projection.name === halt.name);
    invariant(member !== undefined, `projection ${halt.name} is not in the lane`);
    await haltCheckpoint(this.#options.client, this.#options.ledger, { ...halt, generation: member.generation });
  }

  async #applyTogether(members: readonly Member[], events: readonly RecordedEvent[]): Promise<void> {
    const projected: ProjectedEvent[] = [];
    for (const event of events) projected.push(await this.#assembler.assemble(event));
    for (const { runtime } of members) await runtime.load(projected);
    for (const { runtime } of members) for (const event of projected) runtime.apply(event);
    const changes = members.flatMap(({ runtime }) => runtime.changes());
    const from = this.#position;
    const finish = this.#finish(members, from, from + BigInt(events.length));
    await this.#write(writeStatement(this.#options.schema, changes, finish));
    for (const { runtime } of members) runtime.written();
  }

  #finish(members: readonly Member[], from: bigint, to: bigint): { expression: string; values: unknown[] } {
    if (!this.#options.guarded) return { expression: '1', values: [] };
    const { tip, policy } = this.#assembler.context;
    const { announceOn } = this.#options;
    const announce = announceOn === undefined ? '' : `, pg_notify('${announceOn}', $1::text || ':' || $5::bigint)`;
    return {
      expression: `advance_checkpoints($1::text, $2::text[], $3::bigint[], $4, $5::bigint, $6::integer, $7, $8::jsonb, $9::bigint)${announce}`,
      values: [
        this.#options.ledger,
        members.map(({ runtime }) => runtime.projection.name),
        members.map(({ generation }) => generation),
        from,
        to,
        tip?.height ?? null,
        tip?.hash ?? null,
        policy === null ? null : JSON.stringify(policy),
        this.#switchKey,
      ],
    };
  }

  async #write({ text, values }: Statement): Promise<void> {
    let name = this.#prepared.get(text);
    if (name === undefined && this.#prepared.size < MAX_PREPARED_SHAPES) {
      name = `write.${this.#prepared.size}.${shapeId(text)}`;
      this.#prepared.set(text, name);
    }
    await this.#options.client.query(name === undefined ? { text, values } : { name, text, values });
  }

  #run: RunNamed = async (name, text, values) => {
    const { client } = this.#options;
    const { rows } = await client.query<Record<string, unknown>>({ name: `${shapeId(text)}.${name}`, text, values });
    return rows;
  };

  #forget(): void {
    for (const { runtime } of this.#members) runtime.discard();
    this.#assembler = this.#newAssembler();
  }

  #newAssembler(): Assembler {
    return new Assembler(this.#context, streamReader(this.#options.client, this.#options.ledger));
  }
}

/** FNV-1a, 32 bits: tells the statements of several lanes on one connection apart. */
function shapeId(text: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(36);
}
