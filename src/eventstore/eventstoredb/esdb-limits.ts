/** Limits of appending to EventStoreDB, with the reason for each value. */
export interface EventStoreDbLimits {
  /** How long others leave a claimed key alone. Above the time of any usual append, below what clients wait. */
  claimTtlMs: number;
  /** Time of one call to EventStoreDB. */
  callTimeoutMs: number;
  /** Time in which an append is sent again where its outcome is not known. */
  appendTimeoutMs: number;
  /** Time in which what stands in EventStoreDB must have come into the outbox. */
  relayTimeoutMs: number;
  /** Time of one statement. */
  statementTimeoutMs: number;
  /** Wait before a key that another process holds is asked for again; before an append is sent again it doubles from here. */
  retryMs: number;
}

export const DEFAULT_ESDB_LIMITS: Readonly<EventStoreDbLimits> = {
  claimTtlMs: 10_000,
  callTimeoutMs: 5000,
  appendTimeoutMs: 15_000,
  relayTimeoutMs: 10_000,
  statementTimeoutMs: 10_000,
  retryMs: 25,
};

/** Longest wait between two tries. */
export const MAX_RETRY_MS = 1000;

/**
 * Bytes of an append at most, as the server counts them (data, metadata, type). It takes 1 MiB for all events of an append together;
 * what is larger is refused before it is sent.
 */
export const MAX_STORED_APPEND_BYTES = 1_000_000;

/** Bytes of appends of one stream that are sent together: more would only make each wait for the others. */
export const MAX_RUN_BYTES = 256 * 1024;

/** Our own members of an event's metadata, but for key and outcome: revision, version, UUID, hash, names. */
export const OWN_METADATA_BYTES = 320;
