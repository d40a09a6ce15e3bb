import type pg from 'pg';
import { toPlatformError } from './database-error.js';

/**
 * Rows of a prepared statement.
 *
 * @param what is read, for the message of the error
 * @throws RetryableError, FatalError
 */
export async function queryRows<Row extends pg.QueryResultRow>(
  pool: pg.Pool,
  query: { name: string; text: string; values: unknown[] },
  what: string,
): Promise<Row[]> {
  try {
    return (await pool.query<Row>(query)).rows;
  } catch (error) {
    throw toPlatformError(error, what);
  }
}
