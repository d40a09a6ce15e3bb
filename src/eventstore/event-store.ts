/**
 * The event store port. Two implementations keep it: PostgreSQL (embedded mode) and, behind the same contract tests,
 * others. An append touches one stream; the outbox is the ledger's total order.
 */

/** Revision of the last event that the caller has seen on the stream: 0, 1, 2 …, or that there is none. */
export type ExpectedRevision = bigint | 'no-stream';

export interface EventMetadata {
  correlationId?: string;
  causationId?: string;
  traceparent?: string;
  actor?: string;
  idempotencyKey?: string;
  /** Of `BlockConnected`: position up to which the log was known when the block was scanned; a decimal string. */
  watchedUpTo?: string;
}

/** An event to be appended. `data` is validated against its schema by who makes it. */
export interface NewEvent {
  /** UUID derived from the command, so that a retried append is the same event. */
  id: string;
  type: string;
  schemaVersion: number;
  data: unknown;
  metadata: EventMetadata;
}

export interface RecordedEvent {
  /** Place in the ledger's order: 1, 2, 3 … without gaps. */
  position: bigint;
  id: string;
  stream: string;
  /** Place in the stream: 0, 1, 2 … */
  revision: bigint;
  type: string;
  schemaVersion: number;
  /** Parsed JSON, upcast to the current schema version of its type. */
  data: unknown;
  metadata: EventMetadata;
  /** Never goes backwards within a ledger. */
  recordedAt: Date;
}

/** What a command answered, kept for good with its idempotency key. */
export interface StoredOutcome {
  /** SHA-256 of the request, 64 hex digits. */
  requestHash: string;
  /** JSON, as given to `append`. */
  outcome: unknown;
  /** Position of the last event of the command; null for a rejection, which appends none. */
  position: bigint | null;
}

export interface AppendRequest {
  stream: string;
  expectedRevision: ExpectedRevision;
  /** May be empty only with an idempotency outcome: a rejection is recorded without an event (and without a revision check). */
  events: readonly NewEvent[];
  idempotency?: { key: string; requestHash: string; outcome: unknown };
}

export type AppendResult =
  | {
      kind: 'appended';
      /** Position of the last event; for a recorded rejection null. */
      position: bigint | null;
      /** Revision of the last event; for a recorded rejection null. */
      revision: bigint | null;
      recordedAt: Date;
      /** True when these very events (same ids) stood there already: the acknowledgement of an earlier append was lost. */
      alreadyThere: boolean;
    }
  | { kind: 'wrong-expected-revision'; actual: ExpectedRevision }
  /** The idempotency key was used before, by the same or another request: compare `requestHash`. Nothing was appended. */
  | { kind: 'key-used'; stored: StoredOutcome };

export interface EventStore {
  /**
   * Appends to one stream, all or nothing. The promise settles when the commit is durable.
   *
   * @throws BusyError when the queue is full
   * @throws RetryableError when the outcome is not known or the store is away; the same request may be sent again
   * @throws EventTooLargeError for an event above MAX_EVENT_BYTES
   */
  append(request: AppendRequest): Promise<AppendResult>;

  /** Events of a stream from `fromRevision` on, oldest first, at most `limit`. Empty where there is no such stream. */
  readStream(stream: string, fromRevision: bigint, limit: number): Promise<RecordedEvent[]>;

  /** Stored outcome of an idempotency key. */
  findOutcome(key: string): Promise<StoredOutcome | undefined>;

  /** Lets appends that wait finish, takes no new ones. */
  close(): Promise<void>;
}

/** EventStoreDB and Kafka stop at 1 MiB; half of it leaves room for headers and framing. */
export const MAX_EVENT_BYTES = 512 * 1024;

export class EventTooLargeError extends Error {
  override readonly name = 'EventTooLargeError';
  constructor(
    readonly type: string,
    readonly bytes: number,
  ) {
    super(`event ${type} has ${bytes} bytes as JSON, more than ${MAX_EVENT_BYTES}`);
  }
}
