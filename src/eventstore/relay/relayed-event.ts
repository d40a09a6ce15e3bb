import { decodeMetadata, FENCE_TYPE } from '../eventstoredb/stored-metadata.js';
import { isAfter, type AllPosition, type StoredEvent } from '../eventstoredb/messages.js';
import { fromStoredStream } from '../eventstoredb/stream-names.js';

/** An event on its way into the outbox. */
export interface RelayedEvent {
  position: AllPosition;
  /** Undefined for a fence: it moves the checkpoint and is no event of the ledger. */
  row: RelayedRow | undefined;
  /** Made anew for each append that was sent. */
  append: string;
  /** Events of the same append that follow. */
  more: number;
  bytes: number;
}

export interface RelayedRow {
  stream: string;
  revision: bigint;
  id: string;
  type: string;
  schemaVersion: number;
  dataJson: string;
  metadataJson: string;
  recordedAtMs: number | undefined;
  outcome: { key: string; requestHash: string; outcomeJson: string } | undefined;
}

/** An event under the ledger's prefix that this program did not write, or not so. It is never skipped: the relay halts. */
export class DamagedEventError extends Error {
  override readonly name = 'DamagedEventError';
  constructor(
    readonly event: { stream: string; revision: bigint; id: string; position: AllPosition },
    readonly problem: string,
    options?: ErrorOptions,
  ) {
    const { stream, revision, id, position } = event;
    super(
      `event ${id} (${stream}, revision ${revision}, position ${position.commit}/${position.prepare} of $all): ${problem}`,
      options,
    );
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** @throws DamagedEventError */
export function toRelayedEvent(ledger: string, event: StoredEvent): RelayedEvent {
  const bytes = event.data.length + event.metadata.length;
  try {
    const stored = decodeMetadata(event.metadata);
    if (event.type === FENCE_TYPE)
      return { position: event.position, row: undefined, append: stored.append, more: 0, bytes };
    const { key, outcome } = stored;
    return {
      position: event.position,
      row: {
        stream: fromStoredStream(ledger, event.stream),
        revision: stored.revision,
        id: event.id,
        type: event.type,
        schemaVersion: stored.schemaVersion,
        dataJson: utf8.decode(event.data),
        metadataJson: stored.metadataJson,
        recordedAtMs: stored.recordedAtMs,
        outcome: outcome === undefined || key === undefined ? undefined : { key, ...outcome },
      },
      append: stored.append,
      more: stored.more,
      bytes,
    };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DamagedEventError(event, `its metadata is not of this program: ${why.slice(0, 200)}`, { cause });
  }
}

/** An append is stored whole or not at all: what follows one of its events is its next. */
export function checkWhole(event: RelayedEvent | undefined, next: RelayedEvent): void {
  if (event?.row === undefined || event.more === 0) return;
  if (next.append === event.append && next.more === event.more - 1) return;
  const { row, position, more } = event;
  throw new DamagedEventError({ ...row, position }, `${more} more events of its append should follow it, and do not`);
}

/** The later of two positions. */
export function laterOf(a: AllPosition | undefined, b: AllPosition): AllPosition {
  return a === undefined || isAfter(b, a) ? b : a;
}
