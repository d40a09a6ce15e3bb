import { LRUCache } from 'lru-cache';
import type { Found, TransfersFound } from '../domain/events/chain-events.js';
import { isEventType } from '../domain/events/event-types.js';
import type { DomainEvent } from '../domain/events/event-types.js';
import type { RecordedEvent } from '../eventstore/event-store.js';
import { FatalError } from '../platform/errors.js';
import { invariant } from '../platform/assert.js';
import type { AssembledBlock, ChainContext, DepositPolicy, ProjectedEvent, Tip } from './projection.js';

/** Reads events of one stream, oldest first, contiguous by revision; fewer than asked where the stream ends. */
export type ReadStream = (stream: string, fromRevision: bigint, count: number) => Promise<RecordedEvent[]>;

/** Blocks kept for a disconnect: deeper ones are read back. */
const CACHED_BLOCKS = 64;

/** Satoshi-bearing entries over all cached blocks; one block can hold thousands. */
const CACHED_ENTRIES = 50_000;

/** The log holds what this version of the code does not know. Nothing can be projected past it. */
export class UnknownEventError extends FatalError {}

/**
 * Turns recorded events into what projections need: block parts joined, a disconnected block read back, the tip and the deposit
 * policy after each event. Starts from the context of a checkpoint, anywhere in the log.
 */
export class Assembler {
  #tip: Tip | null;
  #policy: DepositPolicy | null;
  readonly #readStream: ReadStream;
  readonly #blocks = new LRUCache<bigint, AssembledBlock>({
    max: CACHED_BLOCKS,
    maxSize: CACHED_ENTRIES,
    sizeCalculation: ({ found }) => 1 + found.received.length + found.spent.length + found.funding.length,
  });
  /** Parts that may belong to the next `BlockConnected`, the last one last. */
  #parts: { revision: bigint; data: TransfersFound }[] = [];

  constructor(context: ChainContext, readStream: ReadStream) {
    this.#tip = context.tip;
    this.#policy = context.policy;
    this.#readStream = readStream;
  }

  /** Context after the last assembled event. */
  get context(): ChainContext {
    return { tip: this.#tip, policy: this.#policy };
  }

  /**
   * Events must come one after the other; a promise (something has to be read back) is to be awaited before the next. Nearly
   * always there is none: a rebuild must not pay for a million of them.
   *
   * @throws UnknownEventError for a type that this version does not know
   */
  assemble(event: RecordedEvent): ProjectedEvent | Promise<ProjectedEvent> {
    const fact = factOf(event);
    let block: AssembledBlock | Promise<AssembledBlock> | undefined;
    switch (fact.type) {
      case 'ChainOpened':
        this.#tip = { height: fact.data.height, hash: fact.data.hash };
        break;
      case 'DepositPolicySet': {
        const { depositConfirmations, coinbaseMaturity } = fact.data;
        this.#policy = { depositConfirmations, coinbaseMaturity };
        break;
      }
      case 'TransfersFound':
        if (fact.data.part === 0) this.#parts = [];
        this.#parts.push({ revision: event.revision, data: fact.data });
        break;
      case 'BlockConnected': {
        const { hash, height, prevHash } = fact.data;
        invariant(
          this.#tip !== null && this.#tip.hash === prevHash && this.#tip.height + 1 === height,
          `block ${hash} at position ${event.position} does not stand on the tip`,
        );
        block = this.#connected(event, fact.data);
        this.#tip = { height, hash };
        break;
      }
      case 'BlockDisconnected': {
        const { hash, height, prevHash, connectedRevision } = fact.data;
        invariant(
          this.#tip !== null && this.#tip.hash === hash && this.#tip.height === height,
          `block ${hash} is disconnected at position ${event.position} and is not the tip`,
        );
        const revision = BigInt(connectedRevision);
        block = this.#blocks.get(revision) ?? this.#readBack(event.stream, revision);
        this.#tip = { height: height - 1, hash: prevHash };
        break;
      }
      default:
        // Every other event is of the books: it says nothing of the chain.
        break;
    }
    if (block instanceof Promise) return block.then((read) => this.#projected(event, fact, read));
    return this.#projected(event, fact, block);
  }

  #projected(event: RecordedEvent, fact: DomainEvent, block: AssembledBlock | undefined): ProjectedEvent {
    if (fact.type === 'BlockConnected' && block !== undefined) this.#blocks.set(event.revision, block);
    if (fact.type === 'BlockDisconnected') {
      invariant(
        block?.hash === fact.data.hash,
        `revision ${fact.data.connectedRevision} did not connect ${fact.data.hash}`,
      );
    }
    return {
      type: fact.type,
      data: fact.data,
      position: event.position,
      stream: event.stream,
      revision: event.revision,
      recordedAt: event.recordedAt,
      metadata: event.metadata,
      tip: this.#tip,
      policy: this.#policy,
      block,
    } as ProjectedEvent;
  }

  #connected(event: RecordedEvent, data: BlockConnectedData): AssembledBlock | Promise<AssembledBlock> {
    const first = event.revision - BigInt(data.parts);
    const parts = this.#parts.filter(({ revision }) => revision >= first).map((part) => part.data);
    this.#parts = [];
    if (parts.length === data.parts) return assembled(event, data, parts);
    return this.#readParts(event.stream, event.revision, data.parts).then((read) => assembled(event, data, read));
  }

  async #readBack(stream: string, revision: bigint): Promise<AssembledBlock> {
    const [event] = await this.#readStream(stream, revision, 1);
    invariant(event !== undefined, `stream ${stream} has no revision ${revision}`);
    const fact = factOf(event);
    invariant(fact.type === 'BlockConnected', `revision ${revision} of ${stream} is ${fact.type}, not BlockConnected`);
    const { parts } = fact.data;
    return assembled(event, fact.data, parts === 0 ? [] : await this.#readParts(stream, revision, parts));
  }

  async #readParts(stream: string, revision: bigint, count: number): Promise<TransfersFound[]> {
    const events = await this.#readStream(stream, revision - BigInt(count), count);
    return events.map((event) => {
      const fact = factOf(event);
      invariant(fact.type === 'TransfersFound', `revision ${event.revision} of ${stream} is no part of a block`);
      return fact.data;
    });
  }
}

type BlockConnectedData = Extract<DomainEvent, { type: 'BlockConnected' }>['data'];

function assembled(event: RecordedEvent, data: BlockConnectedData, parts: readonly TransfersFound[]): AssembledBlock {
  invariant(parts.length === data.parts, `block ${data.hash} has ${parts.length} of ${data.parts} parts`);
  parts.forEach(({ part, blockHash }, index) => {
    invariant(part === index && blockHash === data.hash, `part ${index} of block ${data.hash} is not in its place`);
  });
  return {
    hash: data.hash,
    height: data.height,
    prevHash: data.prevHash,
    time: data.time,
    bits: data.bits,
    revision: event.revision,
    position: event.position,
    found: parts.length === 0 ? data.found : joined([...parts.map(({ found }) => found), data.found]),
  };
}

function joined(found: readonly Found[]): Found {
  return {
    received: found.flatMap(({ received }) => received),
    spent: found.flatMap(({ spent }) => spent),
    funding: found.flatMap(({ funding }) => funding),
    conflicts: found.flatMap(({ conflicts }) => conflicts),
  };
}

/** The data was validated against its schema when it was appended, and upcast when it was read: its type is trusted here. */
function factOf({ type, data, position }: RecordedEvent): DomainEvent {
  if (!isEventType(type)) throw new UnknownEventError(`event ${position} is of the unknown type ${type}`);
  return { type, data } as DomainEvent;
}
