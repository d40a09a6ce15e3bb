import type { ClientReadableStream } from '@grpc/grpc-js';
import type { ReadResp } from '@eventstore/db-client/generated/streams_pb.js';
import { RetryableError } from '../../platform/errors.js';
import type { EventStoreConnection } from '../eventstoredb/connection.js';
import {
  checkpointOf,
  eventOf,
  subscribeToAllRequest,
  type AllPosition,
  type StoredEvent,
} from '../eventstoredb/messages.js';

export interface SubscriptionLimits {
  /** Events that wait to be taken: above this the server is asked to wait. */
  maxBufferedEvents: number;
  maxBufferedBytes: number;
  /** The server confirms a subscription at once. */
  confirmationTimeoutMs: number;
  /** A subscription that says nothing for so long is made anew: a dead one cannot be told from an idle one. */
  silenceMs: number;
}

/** What was delivered, in order. */
export interface Delivered {
  events: StoredEvent[];
  /** Everything up to here has been delivered; undefined where nothing new is known. */
  upTo: AllPosition | undefined;
}

export interface Subscription {
  /** Waits for something, and with `gatherMs` so long for more of it; undefined when it is over because it was silent or is closed. */
  next(limits: { maxEvents: number; maxBytes: number; gatherMs: number }): Promise<Delivered | undefined>;
  close(): void;
}

/** Search windows of 32 events between two checkpoints: about a thousand foreign events. */
const CHECKPOINT_INTERVAL = 32;

/**
 * Subscribes to `$all`, to streams of one prefix, after a position.
 *
 * A checkpoint of the server counts only when something later has come: a known bug named events that were still to be delivered
 * (KurrentDB #4970).
 *
 * @throws RetryableError in `next` where it was dropped
 */
export async function subscribeToAll(
  connection: EventStoreConnection,
  prefix: string,
  after: AllPosition | undefined,
  limits: SubscriptionLimits,
): Promise<Subscription> {
  const request = subscribeToAllRequest(prefix, after, CHECKPOINT_INTERVAL);
  const call: ClientReadableStream<ReadResp> = await connection.openRead(request, { needsLeader: false });
  let buffer: StoredEvent[] = [];
  let bufferedBytes = 0;
  let pendingCheckpoint: AllPosition | undefined;
  let upTo: AllPosition | undefined;
  let ended: 'closed' | 'silent' | Error | undefined;
  let wake: () => void = () => undefined;
  const end = (how: 'closed' | 'silent' | Error): void => {
    ended ??= how;
    clearTimeout(timer);
    wake();
  };
  let timer = setTimeout(onSilence, limits.confirmationTimeoutMs);
  function onSilence(): void {
    end('silent');
    call.cancel();
  }

  call.on('data', (response: ReadResp) => {
    clearTimeout(timer);
    if (ended === undefined) timer = setTimeout(onSilence, limits.silenceMs);
    const checkpoint = checkpointOf(response);
    if (checkpoint !== undefined) {
      upTo = pendingCheckpoint ?? upTo;
      pendingCheckpoint = checkpoint;
      wake();
      return;
    }
    const event = eventOf(response);
    if (event === undefined) return;
    buffer.push(event);
    bufferedBytes += event.data.length + event.metadata.length;
    if (buffer.length >= limits.maxBufferedEvents || bufferedBytes >= limits.maxBufferedBytes) call.pause();
    wake();
  });
  call.on('error', (error: Error) => {
    end(connection.failed(error));
  });
  call.on('end', () => {
    end(new RetryableError('the subscription to $all was ended by the server'));
  });

  /** As many as fit, the first in any case. */
  function take({ maxEvents, maxBytes }: { maxEvents: number; maxBytes: number }): StoredEvent[] {
    let count = 0;
    let bytes = 0;
    for (const event of buffer) {
      bytes += event.data.length + event.metadata.length;
      if (count >= maxEvents || (count > 0 && bytes > maxBytes)) break;
      count += 1;
    }
    const taken = buffer.slice(0, count);
    buffer = buffer.slice(count);
    bufferedBytes = buffer.reduce((sum, event) => sum + event.data.length + event.metadata.length, 0);
    call.resume();
    return taken;
  }

  async function gather(count: number, ms: number): Promise<void> {
    const untilMs = performance.now() + ms;
    while (buffer.length > 0 && buffer.length < count && ended === undefined && performance.now() < untilMs) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  return {
    async next(size) {
      while (buffer.length === 0 && upTo === undefined && ended === undefined) {
        await new Promise<void>((resolve) => (wake = resolve));
      }
      if (size.gatherMs > 0) await gather(size.maxEvents, size.gatherMs);
      if (buffer.length > 0) return { events: take(size), upTo: undefined };
      if (ended instanceof Error) throw ended;
      if (ended !== undefined) return undefined;
      const delivered: Delivered = { events: [], upTo };
      upTo = undefined;
      return delivered;
    },
    close() {
      end('closed');
      call.cancel();
    },
  };
}
