import { RetryableError } from '../../platform/errors.js';
import type { EventStoreConnection } from './connection.js';
import { decodeMetadata, encodeMetadata, FENCE_TYPE } from './stored-metadata.js';
import { readStoredEvents, sendAppend } from './stream-calls.js';
import { toStoredStream } from './stream-names.js';

/**
 * Events behind a place within which an append that was sent there must stand: appends of one stream are sent together, and so many
 * events at most.
 */
export const MAX_RUN_EVENTS = 500;
/** Each round of closing a place is a race with whoever appends there. */
const MAX_CLOSING_ROUNDS = 50;

/** The end of a stream: EventStoreDB's revision, and the ledger's, which is lower by the number of fences. -1n: none. */
export interface StreamEnd {
  stored: bigint;
  revision: bigint;
}

export interface SlotCalls {
  connection: EventStoreConnection;
  ledger: string;
  timeoutMs: number;
  randomUuid: () => string;
}

/** @throws RetryableError, FatalError */
export async function readStreamEnd({ connection, ledger, timeoutMs }: SlotCalls, stream: string): Promise<StreamEnd> {
  const read = { stream: toStoredStream(ledger, stream), from: 'end' as const, count: 1, timeoutMs };
  const [last] = await readStoredEvents(connection, read);
  if (last === undefined) return { stored: -1n, revision: -1n };
  return { stored: last.revision, revision: decodeMetadata(last.metadata).revision };
}

/**
 * Finds out whether an earlier append of a key, sent to a place in a stream, has come to be; if it has not, makes sure that it never
 * will: as long as nothing stands at that place, the append may still arrive, so a fence is put there.
 *
 * @param slot the place: directly after the revision `expected` of EventStoreDB
 * @throws RetryableError when it could not be found out
 */
export async function settleSlot(
  calls: SlotCalls,
  key: string,
  slot: { stream: string; expected: bigint },
): Promise<'applied' | 'dead'> {
  const { connection, ledger, timeoutMs } = calls;
  const stream = toStoredStream(ledger, slot.stream);
  for (let round = 0; round < MAX_CLOSING_ROUNDS; round += 1) {
    const there = await readStoredEvents(connection, {
      stream,
      from: slot.expected + 1n,
      count: MAX_RUN_EVENTS,
      timeoutMs,
    });
    if (there.some(({ metadata }) => decodeMetadata(metadata).key === key)) return 'applied';
    if (there.length > 0) return 'dead';
    await putFence(calls, slot.stream, await readStreamEnd(calls, slot.stream));
  }
  throw new RetryableError(`stream ${slot.stream} changes all the time: an earlier append could not be looked into`);
}

async function putFence(
  { connection, ledger, timeoutMs, randomUuid }: SlotCalls,
  stream: string,
  end: StreamEnd,
): Promise<void> {
  const metadata = encodeMetadata('{}', {
    revision: end.revision,
    schemaVersion: 1,
    append: randomUuid(),
    more: 0,
    key: undefined,
    outcome: undefined,
    recordedAtMs: undefined,
  });
  const fence = { id: randomUuid(), type: FENCE_TYPE, data: Buffer.from('{}'), metadata };
  try {
    // A refusal is as good: something else stands there now.
    await sendAppend(connection, {
      stream: toStoredStream(ledger, stream),
      expected: end.stored,
      events: [fence],
      timeoutMs,
    });
  } catch (error) {
    // What became of it, the next look shows.
    if (!(error instanceof RetryableError)) throw error;
  }
}
