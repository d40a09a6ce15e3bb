import type { BlockConnected } from '../../domain/events/chain-events.js';
import { deterministicUuid } from '../../domain/event-id.js';
import { EVENT_TYPES, type DomainEvent } from '../../domain/events/event-types.js';
import type { EventMetadata, EventStore, NewEvent } from '../../eventstore/event-store.js';
import { invariant } from '../../platform/assert.js';
import { RetryableError } from '../../platform/errors.js';
import { SourceError } from '../block-source.js';
import type { BlockInvalid } from '../scan-types.js';
import { blockEvents, PART_BYTES } from './block-events.js';
import { findTransfers } from './find-transfers.js';
import { isIncomplete } from './is-incomplete.js';
import { chainStream, type LedgerView } from './ledger-view.js';

export interface WriteLimits {
  /** Events in one append. */
  maxEvents: number;
  /** JSON of the events in one append. */
  maxBytes: number;
  /** JSON of one event. */
  partBytes: number;
}

export const DEFAULT_WRITE_LIMITS: Readonly<WriteLimits> = {
  // Empty blocks: a commit of so many takes as long as it takes to scan them.
  maxEvents: 512,
  // EventStoreDB takes 1 MiB in one append, with all that it needs beside the data.
  maxBytes: 512 * 1024,
  partBytes: PART_BYTES,
};

/** What one append changed, all of it durable. */
export interface CommittedChange {
  /** Newest first. */
  disconnected: string[];
  /** Oldest first. */
  connected: BlockConnected[];
  /** Position of the last event. */
  position: bigint;
}

/** Another follower has written to the chain's stream: catch up and plan again. */
export class AnotherWriterError extends RetryableError {}

/**
 * Turns steps (disconnect the tip, connect a block) into events and appends them in few, large appends. Every prefix of what it
 * appends is a valid state, so a crash between two appends needs no repair. What is not yet appended is applied to the view
 * already, because the next block builds on it, and is taken back where the append fails.
 */
export interface ChangeWriter {
  readonly pending: boolean;
  disconnectTip(): Promise<void>;
  /** @throws SourceError `block-mismatch` for bytes of another block than asked for */
  connect(hash: string, raw: Uint8Array): Promise<BlockInvalid | undefined>;
  /** @throws AnotherWriterError; RetryableError where the outcome is not known: everything pending has been taken back */
  flush(): Promise<void>;
  /**
   * Looks again into the blocks of which the view doubts that they were scanned for all that was watched, oldest first. The first
   * that lacks something is disconnected, with what is above it: it looks like a reorg, and is to be connected anew.
   *
   * @throws AnotherWriterError after such a disconnect, or where `rawOf` has no bytes; and what `rawOf` throws
   */
  settleDoubts(rawOf: (hash: string) => Promise<Uint8Array | undefined>): Promise<void>;
  /** Takes back what is not appended yet. */
  discard(): void;
}

export function createChangeWriter(options: {
  ledger: string;
  view: LedgerView;
  store: EventStore;
  limits?: WriteLimits;
  onCommitted: (change: CommittedChange) => void;
}): ChangeWriter {
  const { ledger, view, store, onCommitted } = options;
  const limits = options.limits ?? DEFAULT_WRITE_LIMITS;
  const stream = chainStream(view.network);
  let events: NewEvent[] = [];
  let bytes = 0;
  let wayBack: (() => void)[] = [];
  let change = emptyChange();
  /** Raw blocks of the append that is being made, by hash. */
  let blocks = new Map<string, Uint8Array>();

  const reset = (): void => {
    events = [];
    bytes = 0;
    wayBack = [];
    change = emptyChange();
    blocks = new Map();
  };
  const nextRevision = (): number => (view.revision === 'no-stream' ? 0 : Number(view.revision) + 1) + events.length;
  /** Flushes first where the event does not fit any more. Returns the revision that the event will have. */
  const add = async (event: DomainEvent, key: string, metadata?: EventMetadata): Promise<number> => {
    const size = JSON.stringify(event.data).length;
    if (events.length > 0 && (events.length >= limits.maxEvents || bytes + size > limits.maxBytes)) await flush();
    const revision = nextRevision();
    const { schema, schemaVersion } = EVENT_TYPES[event.type];
    schema.parse(event.data);
    // With the revision, the id names this event at this place: appended again after a lost answer it is the same event,
    // and the same block connected again after a reorg is another one.
    const id = deterministicUuid(ledger, stream, revision, event.type, key);
    events.push({
      id,
      type: event.type,
      schemaVersion,
      data: event.data,
      metadata: { actor: 'follower', ...metadata },
    });
    bytes += size;
    return revision;
  };

  const discard = (): void => {
    for (const undo of wayBack.reverse()) undo();
    reset();
  };

  const flush = async (): Promise<void> => {
    if (events.length === 0) return;
    const count = BigInt(events.length);
    const written = blocks;
    let result;
    try {
      result = await store.append({ stream, expectedRevision: view.revision, events });
    } catch (error) {
      discard();
      throw error;
    }
    if (result.kind === 'wrong-expected-revision') {
      discard();
      throw new AnotherWriterError('another follower has written to the chain', { actual: String(result.actual) });
    }
    invariant(
      result.kind === 'appended' && result.position !== null && result.revision !== null,
      'events were appended',
    );
    const { position, revision } = result;
    const committed = { ...change, position };
    if (result.alreadyThere || position - count !== view.position) {
      // Other events came in between, or another follower wrote the very same: what the log says counts, in its order.
      discard();
      await view.catchUp();
    } else {
      reset();
      view.position = position;
      view.revision = revision;
      view.tipTime = committed.connected.at(-1)?.time ?? view.tipTime;
      for (const hash of committed.disconnected) view.settle(hash);
    }
    onCommitted(committed);
    if (view.revision !== revision) throw new AnotherWriterError('another follower has written to the chain');
    await settleDoubts((hash) => Promise.resolve(written.get(hash)));
  };

  const settleDoubts: ChangeWriter['settleDoubts'] = async (rawOf) => {
    for (;;) {
      const [block] = view.doubtful;
      if (!block) return;
      const raw = await rawOf(block.hash);
      if (!raw) throw new AnotherWriterError('a block of another append is to be looked into first');
      if (await isIncomplete(raw, await view.readFound(block.revision), view)) {
        while (view.chain?.heightOf(block.hash) !== undefined) await disconnectTip();
        await flush();
        throw new AnotherWriterError('a script came to be watched while its block was written');
      }
      view.settle(block.hash);
    }
  };

  const disconnectTip = async (): Promise<void> => {
    const { chain, watch, network } = view;
    invariant(chain, 'the chain is open');
    const { hash, height, revision: connectedRevision, bits } = chain.block(chain.tip.height);
    const prevHash = chain.hashAt(height - 1);
    invariant(prevHash !== undefined, 'below a connected block is another one, or the start');
    const found = await view.readFound(connectedRevision);
    const data = { network, hash, height, prevHash, connectedRevision };
    await add({ type: 'BlockDisconnected', data }, hash);
    chain.pop();
    const undoWatch = watch.disconnect(found);
    view.forgetSpends(found);
    wayBack.push(() => {
      view.rememberSpends(found, { hash, height, revision: connectedRevision });
      undoWatch();
      chain.push({ hash, bits, revision: connectedRevision });
    });
    change.disconnected.push(hash);
  };

  return {
    get pending() {
      return events.length > 0;
    },
    flush,
    settleDoubts,
    discard,
    disconnectTip,
    async connect(hash, raw) {
      const { chain, watch, network } = view;
      invariant(chain, 'the chain is open');
      const watchedUpTo = view.position.toString();
      const findings = await findTransfers(raw, network, watch);
      if (findings.kind === 'invalid') return findings;
      const { scanned, found } = findings;
      const { header } = scanned;
      if (header.hash !== hash || header.prevHash !== chain.tip.hash) {
        throw new SourceError('block-mismatch', 'The bytes are of another block.', { asked: hash, got: header.hash });
      }
      const height = chain.tip.height + 1;
      for (const event of blockEvents(network, height, scanned, found, limits.partBytes)) {
        if (event.type === 'TransfersFound') {
          await add(event, `${hash}:${event.data.part}`);
          continue;
        }
        const revision = await add(event, hash, { watchedUpTo });
        chain.push({ hash, bits: header.bits, revision });
        const undoWatch = watch.connect(found);
        view.rememberSpends(found, { hash, height, revision });
        wayBack.push(() => {
          view.forgetSpends(found);
          undoWatch();
          chain.pop();
        });
        change.connected.push(event.data);
        blocks.set(hash, raw);
      }
      return undefined;
    },
  };
}

function emptyChange(): { disconnected: string[]; connected: BlockConnected[] } {
  return { disconnected: [], connected: [] };
}
