import type { ChainLink } from '../append-chains.js';
import type { AppendResult, ExpectedRevision } from '../event-store.js';
import type { PreparedAppend } from '../prepare-append.js';
import { OWN_METADATA_BYTES } from './esdb-limits.js';
import { encodeMetadata } from './stored-metadata.js';
import type { EventToStore } from './messages.js';

/** An append that is not settled yet. */
export interface WaitingAppend {
  append: PreparedAppend;
  /** Undefined for a rejection, which builds on nothing. */
  link: ChainLink | undefined;
  /** Of the claim that is being made or was made last. */
  attempt: string;
  /** Revision of EventStoreDB after which it is claimed to come. */
  storedExpected: bigint;
  /** The attempt that was seen not to have come to be. */
  replaces: string | undefined;
  /** The key was claimed before: its events may stand somewhere behind the place. */
  isRepeated: boolean;
  /** Not looked at before; `performance.now()`. */
  notBeforeMs: number;
  untilMs: number;
  settle(result: AppendResult | Error): void;
}

/** Bytes as the server counts them: data, metadata with our own members, type. */
export function storedBytes({ events, idempotency }: Pick<PreparedAppend, 'events' | 'idempotency'>): number {
  const own = OWN_METADATA_BYTES + (idempotency === undefined ? 0 : Buffer.byteLength(JSON.stringify(idempotency.key)));
  return events.reduce(
    (sum, { type, dataJson, metadataJson }) =>
      sum + Buffer.byteLength(dataJson) + Buffer.byteLength(metadataJson) + type.length * 2 + own,
    idempotency === undefined ? 0 : Buffer.byteLength(idempotency.outcomeJson),
  );
}

/** The events as they are sent. The last one of a command carries its outcome. */
export function eventsToStore({ append, attempt }: WaitingAppend): EventToStore[] {
  const { idempotency, expected } = append;
  return append.events.map((event, index) => ({
    id: event.id,
    type: event.type,
    data: Buffer.from(event.dataJson, 'utf8'),
    metadata: encodeMetadata(event.metadataJson, {
      revision: (expected ?? -1n) + BigInt(index + 1),
      schemaVersion: event.schemaVersion,
      append: attempt,
      more: append.events.length - 1 - index,
      key: idempotency?.key,
      outcome: idempotency && index === append.events.length - 1 ? idempotency : undefined,
      recordedAtMs: undefined,
    }),
  }));
}

export function lastRevision({ append }: WaitingAppend): bigint {
  return (append.expected ?? -1n) + BigInt(append.events.length);
}

/** Of an append of events: neither stands it in its stream nor was it answered. */
export function isWaiting({ link }: WaitingAppend): boolean {
  return link?.state === 'waiting';
}

export function toExpected(revision: bigint): ExpectedRevision {
  return revision < 0n ? 'no-stream' : revision;
}

export function asError(error: unknown): Error {
  if (error instanceof Error) return error;
  return new Error(String(error));
}
