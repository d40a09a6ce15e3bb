import { invariant } from '../../platform/assert.js';
import type { AppendResult } from '../event-store.js';
import type { EventStoreConnection } from './connection.js';
import type { RelayedWaiter } from './relayed-waiter.js';
import { decodeMetadata } from './stored-metadata.js';
import { readStoredEvents } from './stream-calls.js';
import { toStoredStream } from './stream-names.js';
import type { WaitingAppend } from './waiting-append.js';

/** Waits for the outcome of a key whose events stand in EventStoreDB. */
export async function awaitOutcome(waiter: RelayedWaiter, key: string): Promise<AppendResult> {
  const { outcome } = await waiter.wait({ id: undefined, key });
  invariant(outcome !== undefined, 'a key that was waited for has an outcome');
  return { kind: 'key-used', stored: outcome };
}

/**
 * Waits until an append that stands in EventStoreDB is in the outbox, and says what became of it. EventStoreDB takes events with the same
 * ids at the same place as the same append, so what is stored may be another's: what is stored is what is answered.
 */
export async function awaitRelayed(
  parts: { waiter: RelayedWaiter; connection: EventStoreConnection; ledger: string; timeoutMs: number },
  item: WaitingAppend,
  revision: bigint,
  fences: bigint,
): Promise<{ result: AppendResult; isOfAnotherKey: boolean }> {
  const { events, idempotency, stream } = item.append;
  const id = events.at(-1)?.id;
  invariant(id !== undefined, 'what was sent has events');
  const relayed = parts.waiter.wait({ id, key: idempotency?.key });
  // A key tells whose the events are; without one only the events themselves do.
  const isOurs = idempotency === undefined ? isStoredAs(parts, stream, revision + fences, item.attempt) : undefined;
  // Handled below, where it is awaited.
  isOurs?.catch(() => undefined);
  const { position, recordedAt, outcome } = await relayed;
  invariant(position !== undefined && recordedAt !== undefined, 'an event that was waited for has a position');
  const appended = { kind: 'appended' as const, position, revision, recordedAt };
  if (idempotency === undefined) {
    return { result: { ...appended, alreadyThere: !((await isOurs) ?? false) }, isOfAnotherKey: false };
  }
  if (outcome === undefined) return { result: { ...appended, alreadyThere: true }, isOfAnotherKey: true };
  const isSame =
    outcome.position === position &&
    outcome.requestHash === idempotency.requestHash &&
    JSON.stringify(outcome.outcome) === idempotency.outcomeJson;
  return {
    result: isSame ? { ...appended, alreadyThere: false } : { kind: 'key-used', stored: outcome },
    isOfAnotherKey: false,
  };
}

/** Whether the event at a revision is of this very append. */
async function isStoredAs(
  { connection, ledger, timeoutMs }: { connection: EventStoreConnection; ledger: string; timeoutMs: number },
  stream: string,
  storedRevision: bigint,
  attempt: string,
): Promise<boolean> {
  const read = { stream: toStoredStream(ledger, stream), from: storedRevision, count: 1, timeoutMs };
  const [event] = await readStoredEvents(connection, read);
  return event !== undefined && decodeMetadata(event.metadata).append === attempt;
}
