import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { RetryableError } from '../../platform/errors.js';
import { readCheckpoint } from '../relay/write-relayed.js';
import type { EventStoreConnection } from './connection.js';
import { isAfter } from './messages.js';
import { readLastOfPrefix } from './stream-calls.js';
import { streamPrefix } from './stream-names.js';

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
    const checkpoint = await readCheckpoint(pool, ledger, timeoutMs);
    if (checkpoint !== undefined && !isAfter(last.position, checkpoint)) return;
    if (performance.now() >= untilMs) {
      throw new RetryableError(`the relay of ledger ${ledger} has not caught up with EventStoreDB yet`);
    }
    await sleep(POLL_MS);
  }
}
