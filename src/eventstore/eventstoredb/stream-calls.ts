import type { ReadReq } from '@eventstore/db-client/generated/streams_pb.js';
import { RetryableError } from '../../platform/errors.js';
import type { EventStoreConnection } from './connection.js';
import {
  appendEvent,
  appendHeader,
  eventOf,
  readLastOfPrefixRequest,
  readStreamRequest,
  type EventToStore,
  type StoredEvent,
} from './messages.js';

export type StoredAppend =
  | { kind: 'success' }
  /** -1n: there is no such stream. */
  | { kind: 'wrong-expected'; actual: bigint };

/**
 * Sends one append, once. `success` also where the very same events (by id) stand at the very same place already.
 *
 * @param expected revision in EventStoreDB, -1n: no such stream yet
 * @throws RetryableError: whether it was applied, or will be, is not known, unless `facts.happened` is false
 * @throws FatalError
 */
export async function sendAppend(
  connection: EventStoreConnection,
  append: { stream: string; expected: bigint; events: readonly EventToStore[]; timeoutMs: number },
): Promise<StoredAppend> {
  const { stream, expected, events, timeoutMs } = append;
  return connection.call(
    (client) =>
      new Promise<StoredAppend>((resolve, reject) => {
        const options = { deadline: Date.now() + timeoutMs };
        const call = client.append(connection.metadata({ needsLeader: true }), options, (error, response) => {
          if (error !== null) {
            reject(error);
            return;
          }
          const wrong = response.getWrongExpectedVersion();
          if (wrong !== undefined) {
            resolve({
              kind: 'wrong-expected',
              actual: wrong.hasCurrentRevision() ? BigInt(wrong.getCurrentRevision()) : -1n,
            });
          } else if (response.hasSuccess()) {
            resolve({ kind: 'success' });
          } else {
            reject(new RetryableError('EventStoreDB answered an append with neither success nor refusal'));
          }
        });
        call.write(appendHeader(stream, expected));
        for (const event of events) call.write(appendEvent(event));
        call.end();
      }),
  );
}

/**
 * Events of a stream from a revision on, or from its end backwards; as the leader has them. Empty where there is no such stream.
 *
 * @throws RetryableError, FatalError
 */
export async function readStoredEvents(
  connection: EventStoreConnection,
  read: { stream: string; from: bigint | 'end'; count: number; timeoutMs: number },
): Promise<StoredEvent[]> {
  return readAnswers(connection, readStreamRequest(read.stream, read.from, read.count), read.timeoutMs);
}

/**
 * The last event of all streams of a prefix, undefined where there is none.
 *
 * @throws RetryableError, FatalError
 */
export async function readLastOfPrefix(
  connection: EventStoreConnection,
  prefix: string,
  timeoutMs: number,
): Promise<StoredEvent | undefined> {
  return (await readAnswers(connection, readLastOfPrefixRequest(prefix), timeoutMs))[0];
}

async function readAnswers(
  connection: EventStoreConnection,
  request: ReadReq,
  timeoutMs: number,
): Promise<StoredEvent[]> {
  return connection.call(async () => {
    const call = await connection.openRead(request, { needsLeader: true, deadlineMs: timeoutMs });
    return new Promise<StoredEvent[]>((resolve, reject) => {
      const events: StoredEvent[] = [];
      call.on('data', (response: Parameters<typeof eventOf>[0]) => {
        const event = eventOf(response);
        if (event !== undefined) events.push(event);
      });
      call.on('error', reject);
      call.on('end', () => {
        resolve(events);
      });
    });
  });
}
