import { randomUUID } from 'node:crypto';
import { encodeMetadata } from '../../../src/eventstore/eventstoredb/stored-metadata.js';
import { toStoredStream } from '../../../src/eventstore/eventstoredb/stream-names.js';
import type { ProposedEvent, StoredLog } from './stored-log.js';

export interface LedgerEvent {
  id?: string;
  type?: string;
  data?: unknown;
  metadata?: Record<string, unknown>;
  key?: string;
  outcome?: { requestHash: string; outcome: unknown };
  recordedAtMs?: number;
}

/** Appends to a ledger's stream as the event store would, straight into the log of the stand-in. Returns the ids. */
export function appendToLedger(
  log: StoredLog,
  ledger: string,
  stream: string,
  events: readonly LedgerEvent[],
): string[] {
  const stored = toStoredStream(ledger, stream);
  const there = BigInt(log.stream(stored)?.length ?? 0);
  const proposed = events.map((event, index): ProposedEvent => {
    const { id = randomUUID(), type = 'AccountOpened', data = {}, metadata = {}, key, outcome, recordedAtMs } = event;
    return {
      id,
      type,
      contentType: 'application/json',
      data: Buffer.from(JSON.stringify(data)),
      metadata: encodeMetadata(JSON.stringify(metadata), {
        revision: there + BigInt(index),
        schemaVersion: 1,
        append: 'test',
        more: events.length - 1 - index,
        key,
        outcome: outcome && { requestHash: outcome.requestHash, outcomeJson: JSON.stringify(outcome.outcome) },
        recordedAtMs,
      }),
    };
  });
  const result = log.append(stored, there - 1n, proposed);
  if (result.kind !== 'success') throw new Error(`the log refused an append: ${result.kind}`);
  return proposed.map(({ id }) => id);
}

/** An event of somebody else in the same EventStoreDB. */
export function appendForeign(log: StoredLog, stream: string): void {
  log.append(stream, 'any', [
    {
      id: randomUUID(),
      type: 'Foreign',
      contentType: 'application/json',
      data: Buffer.from('{}'),
      metadata: Buffer.alloc(0),
    },
  ]);
}
