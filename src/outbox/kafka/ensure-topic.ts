import { setTimeout as sleep } from 'node:timers/promises';
import type { Admin } from 'kafkajs';
import { kafkaTrouble } from './kafka-client.js';

/** Topic of the outbox of all ledgers. The connector's configuration (`debezium/connector.json`) names it too. */
export const DEFAULT_TOPIC = 'tallystick.outbox';
/** Ledgers spread over these; a ledger's order is a partition's order. More can be added, which only costs a few healed gaps. */
export const DEFAULT_PARTITIONS = 12;
/** Kept for who is away: whoever is away for longer reads what was missed from the outbox. */
const RETENTION_MS = 7 * 24 * 3600 * 1000;
/** The connector's sign of life, a record every few seconds: nobody reads it. */
export const HEARTBEAT_TOPIC = '__debezium-heartbeat.tallystick';
const HEARTBEAT_RETENTION_MS = 3600 * 1000;
/** As in `debezium/server.properties`: above the largest event, with metadata in its headers. */
const MAX_MESSAGE_BYTES = 8 * 1024 * 1024;

export interface TopicSpec {
  topic: string;
  partitions: number;
  /** Default: what the broker has as its default. */
  replicationFactor?: number;
}

export interface EnsuredTopic {
  /** As the topic has it, whatever was asked for: partitions of a topic that exists are not changed. */
  partitions: number;
  created: boolean;
}

/** A topic is made by the controller, and known to brokers a moment later. */
const KNOWN_TIMEOUT_MS = 15_000;
const KNOWN_POLL_MS = 50;

/**
 * Makes the topics that the connector writes, where they are not there. Before anybody uses them: made by Connect or by the
 * broker they would have other settings, and a topic that was deleted under a running connector comes back only by this.
 *
 * @throws RetryableError where the broker is away
 */
export async function ensureTopics(admin: Admin, spec: TopicSpec): Promise<EnsuredTopic> {
  try {
    const created = await create(admin, spec, RETENTION_MS);
    await create(admin, { ...spec, topic: HEARTBEAT_TOPIC, partitions: 1 }, HEARTBEAT_RETENTION_MS);
    const deadline = performance.now() + KNOWN_TIMEOUT_MS;
    for (;;) {
      const partitions = await countPartitions(admin, spec.topic);
      if (partitions !== undefined) return { partitions, created };
      if (performance.now() > deadline) throw new Error('the broker does not know it');
      await sleep(KNOWN_POLL_MS);
    }
  } catch (error) {
    throw kafkaTrouble(`making topic ${spec.topic}`, error);
  }
}

/**
 * Partitions of a topic; undefined where there is no such topic.
 *
 * @throws an error of kafkajs where the broker is away
 */
export async function countPartitions(admin: Admin, topic: string): Promise<number | undefined> {
  try {
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
    const partitions = topics[0]?.partitions ?? [];
    return partitions.length === 0 || partitions.some(({ leader }) => leader < 0) ? undefined : partitions.length;
  } catch (error) {
    if (isType(error, 'UNKNOWN_TOPIC_OR_PARTITION') || isType(error, 'LEADER_NOT_AVAILABLE')) return undefined;
    throw error;
  }
}

function isType(error: unknown, type: string): boolean {
  if (!(error instanceof Error)) return false;
  return ('type' in error && error.type === type) || (error.cause !== undefined && isType(error.cause, type));
}

function create(
  admin: Admin,
  { topic, partitions, replicationFactor }: TopicSpec,
  retentionMs: number,
): Promise<boolean> {
  const configEntries = [
    { name: 'cleanup.policy', value: 'delete' },
    { name: 'retention.ms', value: String(retentionMs) },
    { name: 'retention.bytes', value: '-1' },
    { name: 'max.message.bytes', value: String(MAX_MESSAGE_BYTES) },
  ];
  const replication = replicationFactor === undefined ? {} : { replicationFactor };
  // Its own way of waiting for leaders fails where the topic is not known to the broker yet.
  return admin.createTopics({
    waitForLeaders: false,
    topics: [{ topic, numPartitions: partitions, configEntries, ...replication }],
  });
}
