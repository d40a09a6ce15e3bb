import { InvariantError } from '../platform/assert.js';
import { FatalError, PlatformError, RetryableError } from '../platform/errors.js';

/** SQLSTATE classes (PostgreSQL manual, appendix A) of statements that fail the same way every time they are sent. */
const DATA_CLASSES = new Set([
  '22', // data exception: what was sent is not a value of its type
  '23', // integrity constraint violation
  '54', // program limit exceeded: nested too deep, too many columns, an index row too large
]);

/** Classes that only a person can put right: no such table, no right, wrong password, no such database, not supported. */
const CONFIGURATION_CLASSES = new Set(['0A', '28', '3D', '3F', '42']);

/** True where this very statement fails whenever it is sent: part of its data is at fault. */
export function isDataError(error: unknown): boolean {
  return DATA_CLASSES.has(sqlStateOf(error).slice(0, 2));
}

/** SQLSTATE of an error of the driver, '' where it has none (a connection that broke, a time-out). */
export function sqlStateOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}

/**
 * The driver's error as one that says whether a retry can help.
 *
 * @param what was tried, for the message: 'append', 'read of the outbox'
 */
export function toPlatformError(error: unknown, what: string): Error {
  if (error instanceof InvariantError || error instanceof PlatformError) return error;
  const sqlState = sqlStateOf(error);
  const message = `${what}: ${error instanceof Error ? error.message : String(error)}`;
  const fatal = isDataError(error) || CONFIGURATION_CLASSES.has(sqlState.slice(0, 2));
  const Class = fatal ? FatalError : RetryableError;
  return new Class(message, { sqlState }, { cause: error });
}
