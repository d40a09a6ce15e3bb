/**
 * Errors of the world outside (database, node, file system), divided at the root by the one question that callers ask:
 * can it help to try again? Business rejections are values (`Rejection`), never one of these.
 */
export abstract class PlatformError extends Error {
  abstract readonly retryable: boolean;
  constructor(
    message: string,
    /** Facts for the log, never for a client. */
    readonly facts: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** The same call may succeed later: connection lost, time-out, node busy. */
export class RetryableError extends PlatformError {
  readonly retryable = true;
}

/** Trying again cannot help before a person changes something: wrong network, wrong password, pruned node. */
export class FatalError extends PlatformError {
  readonly retryable = false;
}

/** A bounded queue is full. Answered as 503 with `Retry-After`. */
export class BusyError extends RetryableError {
  constructor(
    message: string,
    readonly retryAfterSeconds: number,
  ) {
    super(message, { retryAfterSeconds });
  }
}
