import { setTimeout as sleep } from 'node:timers/promises';
import type { Admin, Consumer, EachBatchPayload, Kafka } from 'kafkajs';
import { RetryableError } from '../../platform/errors.js';
import type { Logger } from '../../platform/logger.js';
import { countPartitions, ensureTopics, type TopicSpec } from './ensure-topic.js';
import { NO_OBSERVER, type FeedObserver } from './feed-observer.js';
import { createKafka, kafkaTrouble } from './kafka-client.js';
import { DEFAULT_KAFKA_SOURCE_LIMITS, type KafkaSourceLimits } from './kafka-source-limits.js';
import type { LedgerFeed } from './ledger-feed.js';
import { BadMessageError, readMessage, type OutboxMessage } from './message.js';
import { partitionOfLedger } from './partition-of-ledger.js';

/** Partitions whose batches are handed over at the same time: one that is held back does not hold back the others. */
const CONCURRENT_PARTITIONS = 8;

export interface KafkaSourceOptions extends TopicSpec {
  brokers: readonly string[];
  group: string;
  clientId?: string;
  observer?: FeedObserver;
  logger?: Logger | undefined;
  limits?: Partial<KafkaSourceLimits>;
}

/** `starting`: never consumed yet. `away`: the broker, or the topic, cannot be used: see `error`. */
export interface KafkaSourceStatus {
  state: 'starting' | 'consuming' | 'away' | 'closed';
  error: string | undefined;
  /** Of the topic; undefined until known. */
  partitions: number | undefined;
  assigned: readonly number[];
  /** Messages in the assigned partitions that were not handed over when a batch last came. */
  lagMessages: bigint;
}

export interface KafkaSource {
  /** Hands the messages of a ledger to its feed. */
  attach(feed: LedgerFeed): void;
  detach(feed: LedgerFeed): void;
  /** Whether the group has given this process the ledger's partition; undefined as long as the group was never joined. */
  owns(ledger: string): boolean | undefined;
  /** Told after every change of what this process owns. Returns what ends it. */
  onAssignment(listener: () => void): () => void;
  status(): KafkaSourceStatus;
  /** Leaves the group, so that its partitions go to others at once. */
  close(): Promise<void>;
}

/**
 * One consumer of the outbox's topic per process, for all ledgers. It makes the topic where it is missing, and begins anew
 * whenever Kafka lost it or it lost Kafka; its feeds read the outbox meanwhile.
 */
export function openKafkaSource(options: KafkaSourceOptions): KafkaSource {
  const { brokers, topic, group, observer = NO_OBSERVER, logger, clientId = 'tallystick' } = options;
  const limits = { ...DEFAULT_KAFKA_SOURCE_LIMITS, ...options.limits };
  const kafka = createKafka({ brokers, clientId, logger });
  const feeds = new Map<string, LedgerFeed>();
  const listeners = new Set<() => void>();
  const stop = new AbortController();
  let state: KafkaSourceStatus['state'] = 'starting';
  let lastError: string | undefined;
  let partitions: number | undefined;
  let assigned: ReadonlySet<number> | undefined;
  /** Since the group was last joined: a fetch has begun, and one has ended. */
  let fetching: 'not yet' | 'begun' | 'ended' = 'not yet';
  /** Of each partition: the offset to go on from, and that of the next message to be written, as last known. */
  const progress = new Map<number, { next: bigint; end: bigint; committed: bigint }>();

  /**
   * From here on everything that is committed comes by Kafka. Having joined the group is not enough: where to go on from (without a
   * committed offset: the end of the partition) is asked for by the first fetch, and what is written until then may never come.
   */
  function consuming(): void {
    state = 'consuming';
    lastError = undefined;
    for (const feed of feeds.values()) feed.transport('up');
  }

  function joining(): void {
    fetching = 'not yet';
    // Who was away is back with the first fetch.
    if (state !== 'away') for (const feed of feeds.values()) feed.transport('joining');
  }

  function away(error: Error): void {
    if (stop.signal.aborted) return;
    if (state !== 'away') observer.failed(error);
    state = 'away';
    lastError = error.message;
    for (const feed of feeds.values()) feed.transport('away');
  }

  function assign(now: ReadonlySet<number>): void {
    assigned = now;
    // Another member goes on from what was committed, and so do we where one comes back.
    progress.clear();
    for (const listener of listeners) listener();
  }

  async function handOver(payload: EachBatchPayload): Promise<void> {
    let lastHeartbeat = performance.now();
    let lastOffset: string | undefined;
    try {
      for (const message of payload.batch.messages) {
        if (!payload.isRunning() || payload.isStale()) return;
        const read = tryRead(message);
        const feed = read === undefined ? undefined : feeds.get(read.ledger);
        if (read !== undefined && feed !== undefined && !(await deliver(feed, read, payload))) return;
        payload.resolveOffset(message.offset);
        lastOffset = message.offset;
        if (performance.now() - lastHeartbeat > limits.heartbeatMs) {
          await payload.heartbeat();
          lastHeartbeat = performance.now();
        }
      }
    } finally {
      if (lastOffset !== undefined) noteProgress(payload.batch, lastOffset);
    }
  }

  function noteProgress({ partition, highWatermark }: EachBatchPayload['batch'], offset: string): void {
    const known = progress.get(partition) ?? { next: 0n, end: 0n, committed: 0n };
    known.next = BigInt(offset) + 1n;
    known.end = BigInt(highWatermark);
    progress.set(partition, known);
  }

  async function commitOffsets(consumer: Consumer): Promise<void> {
    const moved = [...progress].filter(([, { next, committed }]) => next !== committed);
    if (moved.length === 0) return;
    const offsets = moved.map(([partition, { next }]) => ({ topic, partition, offset: next.toString() }));
    try {
      await consumer.commitOffsets(offsets);
      for (const [, known] of moved) known.committed = known.next;
    } catch (error) {
      // Given out anew just now, or the broker is away: they are a hint.
      noteTrouble(error);
    }
  }

  /** False where the consumer ended before the message found room. */
  async function deliver(feed: LedgerFeed, message: OutboxMessage, payload: EachBatchPayload): Promise<boolean> {
    const deadline = performance.now() + limits.maxHoldMs;
    while (!feed.deliver(message)) {
      if (!payload.isRunning() || payload.isStale()) return false;
      if (performance.now() > deadline) feed.overflow(message);
      else {
        await feed.room(limits.heartbeatMs);
        await payload.heartbeat();
      }
    }
    return true;
  }

  /** A message that is not ours, or damaged: what it should have been is read from the outbox, because it is missing. */
  function tryRead(message: Parameters<typeof readMessage>[0]): OutboxMessage | undefined {
    try {
      return readMessage(message);
    } catch (error) {
      if (!(error instanceof BadMessageError)) throw error;
      observer.badMessage(error);
      return undefined;
    }
  }

  /** Consumes until that ends: by `close`, by a failure, because the topic is gone or has other partitions. */
  async function consume(): Promise<void> {
    const admin = kafka.admin();
    let consumer: Consumer | undefined;
    try {
      await admin.connect();
      partitions = (await ensureTopics(admin, options)).partitions;
      consumer = createConsumer(kafka);
      const crashed = new Promise<never>((_, reject) => {
        consumer?.on('consumer.crash', ({ payload }) => {
          reject(payload.error);
        });
      });
      // Awaited below; it may come before.
      crashed.catch(() => undefined);
      consumer.on('consumer.group_join', ({ payload }) => {
        joining();
        assign(new Set(payload.memberAssignment[topic] ?? []));
      });
      consumer.on('consumer.rebalancing', joining);
      consumer.on('consumer.fetch_start', () => {
        if (fetching === 'not yet') fetching = 'begun';
      });
      consumer.on('consumer.fetch', () => {
        if (fetching !== 'begun') return;
        fetching = 'ended';
        consuming();
      });
      await consumer.connect();
      await consumer.subscribe({ topic, fromBeginning: false });
      await consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: CONCURRENT_PARTITIONS,
        eachBatch: handOver,
      });
      await Promise.race([crashed, watch(admin, consumer, partitions)]);
    } catch (error) {
      throw error instanceof RetryableError ? error : kafkaTrouble('consuming', error);
    } finally {
      await Promise.all([consumer?.disconnect().catch(noteTrouble), admin.disconnect().catch(noteTrouble)]);
    }
  }

  function createConsumer(from: Kafka): Consumer {
    return from.consumer({
      groupId: group,
      sessionTimeout: limits.sessionTimeoutMs,
      rebalanceTimeout: limits.rebalanceTimeoutMs,
      heartbeatInterval: limits.heartbeatMs,
      maxWaitTimeInMs: limits.maxWaitMs,
      minBytes: 1,
      maxBytesPerPartition: limits.maxBytesPerPartition,
      allowAutoTopicCreation: false,
      // It gets over a broker that is started again. What lasts longer ends it, and `run` begins anew with the topic made again.
      retry: { initialRetryTime: 100, maxRetryTime: 1000, retries: 15, restartOnFailure: () => Promise.resolve(false) },
    });
  }

  /** Ends when the consumer is to be closed; throws where it has to be made anew. */
  async function watch(admin: Admin, consumer: Consumer, expected: number): Promise<void> {
    while (!stop.signal.aborted) {
      await sleep(limits.watchMs, undefined, { signal: stop.signal }).catch(onAbort);
      await commitOffsets(consumer);
      if (isAborted(stop.signal)) return;
      const found = await countPartitions(admin, topic);
      if (found === undefined) throw new RetryableError(`Kafka: topic ${topic} is gone`);
      if (found !== expected)
        throw new RetryableError(`Kafka: topic ${topic} has ${found} partitions now, it had ${expected}`);
    }
  }

  async function run(): Promise<void> {
    let retryMs = limits.minRetryMs;
    while (!stop.signal.aborted) {
      const began = performance.now();
      try {
        await consume();
      } catch (error) {
        away(error as RetryableError);
      }
      // One that worked for a while begins with a short wait again.
      if (performance.now() - began > limits.maxRetryMs * 2) retryMs = limits.minRetryMs;
      await sleep(retryMs, undefined, { signal: stop.signal }).catch(onAbort);
      retryMs = Math.min(retryMs * 2, limits.maxRetryMs);
    }
  }

  function noteTrouble(error: unknown): void {
    logger?.debug({ err: error }, 'a call to Kafka that may fail');
  }

  const ended = run();

  return {
    attach(feed) {
      feeds.set(feed.ledger, feed);
      feed.transport(state === 'away' ? 'away' : fetching === 'ended' ? 'up' : 'joining');
    },
    detach(feed) {
      if (feeds.get(feed.ledger) === feed) feeds.delete(feed.ledger);
    },
    owns(ledger) {
      if (assigned === undefined || partitions === undefined) return undefined;
      return assigned.has(partitionOfLedger(ledger, partitions));
    },
    onAssignment(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    status: () => ({
      state,
      error: lastError,
      partitions,
      assigned: [...(assigned ?? [])].sort((a, b) => a - b),
      lagMessages: [...progress.values()].reduce((sum, { next, end }) => sum + (end > next ? end - next : 0n), 0n),
    }),
    async close() {
      stop.abort();
      await ended;
      state = 'closed';
    },
  };
}

function onAbort(error: unknown): void {
  if (!(error instanceof Error) || error.name !== 'AbortError') throw error;
}

function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}
