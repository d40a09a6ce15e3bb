export interface KafkaSourceLimits {
  /** A member that is not heard of for so long has died. */
  sessionTimeoutMs: number;
  heartbeatMs: number;
  /** How long members have to come back when partitions are given out anew. */
  rebalanceTimeoutMs: number;
  /** The broker answers when there is something; this is only how long an empty answer waits. */
  maxWaitMs: number;
  maxBytesPerPartition: number;
  /** A slow consumer holds Kafka back for so long; then it reads the outbox. Well below the session's timeout. */
  maxHoldMs: number;
  /**
   * How often the topic is looked at, whether it is there and how many partitions it has; and how often offsets are committed: a hint
   * for the next start, and what lag is measured by.
   */
  watchMs: number;
  /** Wait before a new attempt; doubles up to the second. */
  minRetryMs: number;
  maxRetryMs: number;
}

export const DEFAULT_KAFKA_SOURCE_LIMITS: Readonly<KafkaSourceLimits> = {
  sessionTimeoutMs: 10_000,
  heartbeatMs: 1000,
  rebalanceTimeoutMs: 10_000,
  maxWaitMs: 500,
  maxBytesPerPartition: 4 * 1024 * 1024,
  maxHoldMs: 5000,
  watchMs: 3000,
  minRetryMs: 200,
  maxRetryMs: 5000,
};
