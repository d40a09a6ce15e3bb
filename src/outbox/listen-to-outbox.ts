import type pg from 'pg';
import { createListener } from './listener.js';

/** Channel of `pg_notify` in `append_events` and `relay_events`. */
const CHANNEL = 'tallystick_outbox';
const RECONNECT_MS = 200;

/**
 * Calls `wake` each time that something came into a ledger's outbox, by whichever process; after a lost connection too.
 *
 * @returns how to end it
 */
export function listenToOutbox(
  options: { pool: pg.Pool; ledger: string; onError: (error: Error) => void },
  wake: () => void,
): () => Promise<void> {
  const listener = createListener({
    pool: options.pool,
    channel: CHANNEL,
    onNotification: (payload) => {
      if (payload.startsWith(`${options.ledger}:`)) wake();
    },
    onListening: wake,
    onError: options.onError,
    reconnectDelayMs: RECONNECT_MS,
  });
  return () => listener.close();
}
