import { RetryableError } from '../../platform/errors.js';
import { GuardLostError } from './guard-lost-error.js';

/** Raised by `advance_checkpoints`. */
const CHECKPOINT_MOVED = 'TY001';
const BEING_SWITCHED = 'TY002';
const UNIQUE_VIOLATION = '23505';

/** A rebuild holds the switch lock: the same write may be tried again in a moment. */
export class SwitchInProgressError extends RetryableError {}

/**
 * What an error of a batch means. `poison`: the events themselves cannot be applied. `duplicate`: a row is there already: another
 * writer was faster, or it is poison; the checkpoint tells. Otherwise the error to throw:
 *
 * - somebody else moved the checkpoint, or the tables are gone: `GuardLostError`
 * - anything else of the database or the network: `RetryableError`
 */
export function classifyWriteError(error: unknown): 'poison' | 'duplicate' | RetryableError {
  if (error instanceof RetryableError) return error;
  const code = sqlState(error);
  if (code === undefined) return isNetworkError(error) ? retryable(error) : 'poison';
  if (code === BEING_SWITCHED) return new SwitchInProgressError('read models are being switched');
  if (code === CHECKPOINT_MOVED || isRace(code)) {
    return new GuardLostError('another writer was faster', { code }, { cause: error });
  }
  if (code === UNIQUE_VIOLATION) return 'duplicate';
  // 22: data that the column cannot hold. 23: a constraint. Both come from the events.
  return code.startsWith('22') || code.startsWith('23') ? 'poison' : retryable(error);
}

/** Deadlock, serialization failure, undefined_table, invalid_schema_name. */
function isRace(code: string): boolean {
  return ['40P01', '40001', '42P01', '3F000'].includes(code);
}

function sqlState(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined;
  return /^[0-9A-Z]{5}$/.test(error.code) && 'severity' in error ? error.code : undefined;
}

/** The driver's errors of a lost connection have no SQLSTATE: a system code, or a message of its own. */
function isNetworkError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if ('code' in error && typeof error.code === 'string' && /^E[A-Z]+$/.test(error.code)) return true;
  return /connection|client (has|was)|not queryable|timeout/i.test(error.message) && error.name === 'Error';
}

function retryable(error: unknown): RetryableError {
  return new RetryableError('read models cannot be written', {}, { cause: error });
}
