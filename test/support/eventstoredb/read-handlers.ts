import { once } from 'node:events';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ServerWritableStream } from '@grpc/grpc-js';
import streams from '@eventstore/db-client/generated/streams_pb.js';
import type { ReadReq, ReadResp } from '@eventstore/db-client/generated/streams_pb.js';
import type { Faults } from './faults.js';
import {
  caughtUpMessage,
  checkpointMessage,
  confirmationMessage,
  eventMessage,
  streamName,
  streamNotFoundMessage,
} from './messages.js';
import { comparePositions, type LogPosition, type StoredEvent, type StoredLog } from './stored-log.js';

export type ReadCall = ServerWritableStream<ReadReq, ReadResp>;

export interface ReadContext {
  log: StoredLog;
  faults: Faults;
}

/** What the server takes as the search window where a subscription names none. */
const DEFAULT_SEARCH_WINDOW = 32;
const { FORWARDS } = streams.ReadReq.Options.ReadDirection;

/** `Streams.Read`: of a stream or of `$all`, forwards or backwards, once or as a subscription. */
export async function handleRead(context: ReadContext, call: ReadCall): Promise<void> {
  const { faults } = context;
  if (faults.hangReads) return;
  if (faults.readDelayMs > 0) await sleep(faults.readDelayMs);
  const options = call.request.getOptions();
  if (options?.hasSubscription() === true) {
    await subscribe(context, call);
    return;
  }
  const count = Number(options?.getCount() ?? 0);
  const found =
    options?.hasAll() === true
      ? readAll(context.log, call.request, count)
      : readStream(context.log, call.request, count);
  if (found === undefined) {
    await write(call, streamNotFoundMessage(streamName(options?.getStream()?.getStreamIdentifier())));
  } else {
    for (const event of found) {
      if (call.cancelled) return;
      await write(call, eventMessage(event));
    }
  }
  call.end();
}

function readStream(log: StoredLog, request: ReadReq, count: number): StoredEvent[] | undefined {
  const options = request.getOptions();
  const stream = options?.getStream();
  const events = log.stream(streamName(stream?.getStreamIdentifier()));
  if (events === undefined) return undefined;
  if (options?.getReadDirection() === FORWARDS) {
    const from =
      stream?.hasRevision() === true ? Number(stream.getRevision()) : stream?.hasEnd() === true ? events.length : 0;
    return events.slice(from, from + count);
  }
  const from =
    stream?.hasRevision() === true ? Number(stream.getRevision()) : stream?.hasStart() === true ? 0 : events.length - 1;
  return events.slice(Math.max(0, from + 1 - count), from + 1).reverse();
}

/** Forwards a position is that of the first event (inclusive), backwards that after the last one (exclusive). */
function readAll(log: StoredLog, request: ReadReq, count: number): StoredEvent[] {
  const options = request.getOptions();
  const position = positionOf(request);
  const matches = filterOf(request);
  const forwards = options?.getReadDirection() === FORWARDS;
  const found: StoredEvent[] = [];
  const atEnd = options?.getAll()?.hasEnd() === true;
  const atStart = options?.getAll()?.hasStart() === true;
  if (forwards ? atEnd : atStart) return [];
  for (let index = 0; index < log.all.length && found.length < count; index += 1) {
    const event = log.all[forwards ? index : log.all.length - 1 - index];
    if (event === undefined) break;
    if (position !== undefined) {
      const order = comparePositions(event, position);
      if (forwards ? order < 0 : order >= 0) continue;
    }
    if (matches(event)) found.push(event);
  }
  return found;
}

function positionOf(request: ReadReq): LogPosition | undefined {
  const position = request.getOptions()?.getAll()?.getPosition();
  return position && { commit: BigInt(position.getCommitPosition()), prepare: BigInt(position.getPreparePosition()) };
}

function filterOf(request: ReadReq): (event: StoredEvent) => boolean {
  const filter = request.getOptions()?.getFilter();
  const expression = filter?.getStreamIdentifier() ?? filter?.getEventType();
  if (!filter || !expression) return () => true;
  const subject = filter.hasStreamIdentifier()
    ? (event: StoredEvent) => event.stream
    : (event: StoredEvent) => event.type;
  const prefixes = expression.getPrefixList();
  if (prefixes.length > 0) return (event) => prefixes.some((prefix) => subject(event).startsWith(prefix));
  const regex = new RegExp(expression.getRegex());
  return (event) => regex.test(subject(event));
}

/** Catch-up, then live. The position that a subscription begins from is exclusive. */
async function subscribe(context: ReadContext, call: ReadCall): Promise<void> {
  const { log, faults } = context;
  const options = call.request.getOptions();
  const filter = options?.getFilter();
  const matches = filterOf(call.request);
  const ofStream = options?.getStream() && streamName(options.getStream()?.getStreamIdentifier());
  const checkpointEvery =
    filter === undefined
      ? Number.POSITIVE_INFINITY
      : filter.getCheckpointintervalmultiplier() * (filter.hasMax() ? filter.getMax() : DEFAULT_SEARCH_WINDOW);
  let next = firstIndex(log, call.request);
  let scanned = 0;
  let isCaughtUp = false;
  let wake: () => void = () => undefined;
  const stopListening = log.onAppended(() => {
    wake();
  });
  call.on('cancelled', () => {
    wake();
  });
  try {
    await write(call, confirmationMessage(randomUUID()));
    while (!call.cancelled && !call.destroyed) {
      const event = faults.silentSubscriptions ? undefined : log.all[next];
      if (event === undefined) {
        if (!isCaughtUp && !faults.silentSubscriptions) {
          isCaughtUp = true;
          await write(call, caughtUpMessage());
        }
        // Appended while the message was written.
        if (!faults.silentSubscriptions && log.all.length > next) continue;
        await new Promise<void>((resolve) => (wake = resolve));
        continue;
      }
      scanned += 1;
      const isCheckpoint = scanned % checkpointEvery === 0;
      // The known bug: the checkpoint is that of the event which is still to be delivered.
      if (isCheckpoint && faults.checkpointsAhead) await write(call, checkpointMessage(event));
      if (faults.readDelayMs > 0) await sleep(faults.readDelayMs);
      if ((ofStream === undefined || event.stream === ofStream) && matches(event)) {
        await write(call, eventMessage(event));
        if (faults.duplicateDeliveries) await write(call, eventMessage(event));
      }
      if (isCheckpoint && !faults.checkpointsAhead) await write(call, checkpointMessage(event));
      next += 1;
    }
  } finally {
    stopListening();
  }
}

function firstIndex(log: StoredLog, request: ReadReq): number {
  const options = request.getOptions();
  const end = options?.getAll()?.hasEnd() ?? options?.getStream()?.hasEnd() ?? false;
  if (end) return log.all.length;
  const position = positionOf(request);
  if (position === undefined) return 0;
  let low = 0;
  let high = log.all.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const event = log.all[middle];
    if (event !== undefined && comparePositions(event, position) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

async function write(call: ReadCall, message: ReadResp): Promise<void> {
  if (call.cancelled || call.destroyed || call.write(message)) return;
  // The client does not take more for now, or has gone.
  const gone = new AbortController();
  const onGone = (): void => {
    gone.abort();
  };
  call.once('cancelled', onGone);
  call.once('close', onGone);
  await once(call, 'drain', { signal: gone.signal }).catch(() => undefined);
  call.off('cancelled', onGone);
  call.off('close', onGone);
}
