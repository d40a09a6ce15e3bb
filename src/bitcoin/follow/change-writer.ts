import type { BlockConnected } from '../../domain/events/chain-events.js';
import { deterministicUuid } from '../../domain/event-id.js';
import { EVENT_TYPES, type DomainEvent } from '../../domain/events/event-types.js';
import type { EventStore, NewEvent } from '../../eventstore/event-store.js';
import { invariant } from '../../platform/assert.js';
import { RetryableError } from '../../platform/errors.js';
import { SourceError } from '../block-source.js';
import { createOutpointSet } from '../scan/outpoint-set.js';
import { scanBlock } from '../scan/scan-block.js';
import type { BlockInvalid } from '../scan-types.js';
import { blockEvents, PART_BYTES } from './block-events.js';
import { findTransfers } from './find-transfers.js';
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
  // Below what the appender commits at once, so that other appends wait for one commit only.
  maxBytes: 2 * 1024 * 1024,
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
  let blocks: ScannedRaw[] = [];

  const reset = (): void => {
    events = [];
    bytes = 0;
    wayBack = [];
    change = emptyChange();
    blocks = [];
  };
  const nextRevision = (): number => (view.revision === 'no-stream' ? 0 : Number(view.revision) + 1) + events.length;
  /** Flushes first where the event does not fit any more. Returns the revision that the event will have. */
  const add = async (event: DomainEvent, key: string): Promise<number> => {
    const size = JSON.stringify(event.data).length;
    if (events.length > 0 && (events.length >= limits.maxEvents || bytes + size > limits.maxBytes)) await flush();
    const revision = nextRevision();
    const { schema, schemaVersion } = EVENT_TYPES[event.type];
    schema.parse(event.data);
    // With the revision, the id names this event at this place: appended again after a lost answer it is the same event,
    // and the same block connected again after a reorg is another one.
    const id = deterministicUuid(ledger, stream, revision, event.type, key);
    events.push({ id, type: event.type, schemaVersion, data: event.data, metadata: { actor: 'follower' } });
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
    const scriptsBefore = view.watch.owners.scripts.size;
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
    }
    onCommitted(committed);
    if (view.revision !== revision) throw new AnotherWriterError('another follower has written to the chain');
    await connectAgainWhatWasMissed(written, scriptsBefore);
  };

  /**
   * A script may have come to be watched after its block was scanned and before the block was written: by its position it
   * is watched in that block. Then the block is disconnected, to be connected again with what it holds for that script too.
   */
  const connectAgainWhatWasMissed = async (written: readonly ScannedRaw[], scriptsBefore: number): Promise<void> => {
    const { chain, watch, network } = view;
    await watch.horizons.settle();
    const { scripts } = watch.owners;
    if (scripts.size === scriptsBefore || !chain) return;
    const missed = written.find(({ raw, outputs }) => {
      const scanned = scanBlock(raw, { network, scripts, outpoints: createOutpointSet() });
      return scanned.kind === 'scanned' && scanned.outputs.length > outputs;
    });
    if (!missed) return;
    while (chain.heightOf(missed.hash) !== undefined) await disconnectTip();
    await flush();
    throw new AnotherWriterError('a script came to be watched while its block was written');
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
    wayBack.push(() => {
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
    discard,
    disconnectTip,
    async connect(hash, raw) {
      const { chain, watch, network } = view;
      invariant(chain, 'the chain is open');
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
        const revision = await add(event, hash);
        chain.push({ hash, bits: header.bits, revision });
        const undoWatch = watch.connect(found);
        wayBack.push(() => {
          undoWatch();
          chain.pop();
        });
        change.connected.push(event.data);
        blocks.push({ hash, raw, outputs: scanned.outputs.length });
      }
      return undefined;
    },
  };
}

/** A block of the append that is being made, and how many of its outputs pay a script that was watched when it was scanned. */
interface ScannedRaw {
  hash: string;
  raw: Uint8Array;
  outputs: number;
}

function emptyChange(): { disconnected: string[]; connected: BlockConnected[] } {
  return { disconnected: [], connected: [] };
}
