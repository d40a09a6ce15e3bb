import { Kafka, logLevel, type KafkaConfig, type LogEntry } from 'kafkajs';
import { RetryableError } from '../../platform/errors.js';
import type { Logger } from '../../platform/logger.js';

/** A broker that is being started again takes a few seconds; beyond this the supervisor begins anew. */
const RETRY: NonNullable<KafkaConfig['retry']> = { initialRetryTime: 100, maxRetryTime: 1000, retries: 20 };
const CONNECT_TIMEOUT_MS = 1_000;
const REQUEST_TIMEOUT_MS = 5_000;

export interface KafkaClientOptions {
  /** `host:port`, one or more. */
  brokers: readonly string[];
  /** Shown in the broker's log. */
  clientId: string;
  logger?: Logger | undefined;
  retries?: number;
}

/** A client of the broker whose log goes where ours goes. */
export function createKafka(options: KafkaClientOptions): Kafka {
  const { brokers, clientId, logger, retries } = options;
  return new Kafka({
    brokers: [...brokers],
    clientId,
    retry: { ...RETRY, ...(retries === undefined ? {} : { retries }) },
    connectionTimeout: CONNECT_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    logLevel: logger === undefined ? logLevel.NOTHING : logLevel.WARN,
    logCreator: () => (entry) => {
      logger?.debug({ kafka: entry.namespace, ...factsOf(entry) }, entry.log.message);
    },
  });
}

/** What it gets over by itself it logs as errors: ours says in one line what state the feed is in. */
function factsOf({ log }: LogEntry): Record<string, unknown> {
  const facts: Record<string, unknown> = {};
  for (const name of ['error', 'broker', 'groupId', 'topic', 'partition']) {
    if (name in log) facts[name] = log[name];
  }
  return facts;
}

/** What failed at the broker, as an error of ours. */
export function kafkaTrouble(doing: string, cause: unknown): RetryableError {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new RetryableError(`Kafka: ${doing} failed: ${message}`, {}, { cause });
}
