import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { RetryableError } from '../../platform/errors.js';
import { toPlatformError } from '../database-error.js';
import type { EventStoreConnection } from './connection.js';
import { isAfter } from './messages.js';
import { readLastOfPrefix } from './stream-calls.js';
import { streamPrefix } from './stream-names.js';

const CHECKPOINT_SQL = 'SELECT commit_position, prepare_position FROM relay_checkpoint WHERE ledger = $1';
const POLL_MS = 50;

/**
 * Waits until all that stands in EventStoreDB at this moment is in the outbox. Before that, a key that was used may look as if it
 * were not: where PostgreSQL was restored from a backup, claims and outcomes younger than it are gone until the relay brings them back.
 *
 * @throws RetryableError when the relay has not got there in time
 */
export async function awaitCaughtUp(parts: {
  pool: pg.Pool;
  connection: EventStoreConnection;
  ledger: string;
  callTimeoutMs: number;
  timeoutMs: number;
}): Promise<void> {
  const { pool, connection, ledger, callTimeoutMs, timeoutMs } = parts;
  const last = await readLastOfPrefix(connection, streamPrefix(ledger), callTimeoutMs);
  if (last === undefined) return;
  const untilMs = performance.now() + timeoutMs;
  for (;;) {
    const checkpoint = await readPlace(pool, ledger, timeoutMs);
    if (checkpoint !== undefined && !isAfter(last.position, checkpoint)) return;
    if (performance.now() >= untilMs) {
      throw new RetryableError(`the relay of ledger ${ledger} has not caught up with EventStoreDB yet`);
    }
    await sleep(POLL_MS);
  }
}

async function readPlace(
  pool: pg.Pool,
  ledger: string,
  timeoutMs: number,
): Promise<{ commit: bigint; prepare: bigint } | undefined> {
  try {
    const query: pg.QueryConfig & { query_timeout: number } = {
      text: CHECKPOINT_SQL,
      values: [ledger],
      query_timeout: timeoutMs,
    };
    const { rows } = await pool.query<{ commit_position: bigint; prepare_position: bigint }>(query);
    return rows[0] && { commit: rows[0].commit_position, prepare: rows[0].prepare_position };
  } catch (error) {
    throw toPlatformError(error, "read of the relay's checkpoint");
  }
}
