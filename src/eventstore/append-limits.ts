/** Every limit of the appender, with the reason for its value. */
export interface AppendLimits {
  /** Appends committed together. Above this the fsync and the round trip are no longer what costs. */
  maxBatchAppends: number;
  /** Bytes committed together: bounds how long one batch keeps the ledger locked. One larger append goes alone. */
  maxBatchBytes: number;
  /** Time to gather before a batch is sent. 0: the commit in flight is the wait. */
  gatherMs: number;
  /** Appends waiting. At 10,000 a second this is one second of work: who comes later is better told to come back. */
  maxQueuedAppends: number;
  /** Bytes waiting: what a burst may cost in memory. */
  maxQueuedBytes: number;
  /** What `BusyError` tells the client. */
  retryAfterSeconds: number;
  /** A batch that takes longer has an unknown outcome. Far above any commit, below what clients wait for. */
  commitTimeoutMs: number;
}

export const DEFAULT_APPEND_LIMITS: Readonly<AppendLimits> = {
  maxBatchAppends: 500,
  maxBatchBytes: 4 * 1024 * 1024,
  gatherMs: 0,
  maxQueuedAppends: 10_000,
  maxQueuedBytes: 64 * 1024 * 1024,
  retryAfterSeconds: 1,
  commitTimeoutMs: 30_000,
};

/** Events in one append: a block with more transfers than fit one event is several events. 4,096 x 512 KiB is any block. */
export const MAX_EVENTS_PER_APPEND = 4096;
/** As the column's CHECK. */
export const MAX_STREAM_BYTES = 200;
/** As the column's CHECK. */
export const MAX_TYPE_BYTES = 100;
/** The API's bound for `Idempotency-Key`, and the column's CHECK. */
export const MAX_KEY_BYTES = 255;
/** Ids of correlation, actor and key: a few hundred bytes; what is larger belongs into data. */
export const MAX_METADATA_BYTES = 16 * 1024;
/** A stored answer is a status and a small body. */
export const MAX_OUTCOME_BYTES = 64 * 1024;
