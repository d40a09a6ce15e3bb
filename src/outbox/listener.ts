import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { toPlatformError } from '../eventstore/database-error.js';

export interface Listener {
  close(): Promise<void>;
}

export interface ListenerOptions {
  /** One of its connections is kept. */
  pool: pg.Pool;
  channel: string;
  onNotification: (payload: string) => void;
  /** After each (re)connection: what was said in the meantime was not heard. */
  onListening: () => void;
  onError: (error: Error) => void;
  reconnectDelayMs: number;
}

/** Listens on a channel, and goes on when the connection breaks, until it is closed. */
export function createListener(options: ListenerOptions): Listener {
  const stop = new AbortController();
  const stopped = run();

  async function run(): Promise<void> {
    while (!stop.signal.aborted) {
      try {
        await listenUntilLost();
      } catch (error) {
        options.onError(toPlatformError(error, `LISTEN ${options.channel}`));
      }
      if (!stop.signal.aborted)
        await sleep(options.reconnectDelayMs, undefined, { signal: stop.signal }).catch(onAbort);
    }
  }

  async function listenUntilLost(): Promise<void> {
    const client = await options.pool.connect();
    let onStop: () => void = () => undefined;
    const lost = new Promise<void>((resolve, reject) => {
      onStop = resolve;
      client.on('error', reject);
      client.on('end', resolve);
      stop.signal.addEventListener('abort', onStop);
      // Closed while the connection was being made: there is no event any more.
      if (stop.signal.aborted) resolve();
    });
    // Handled below, where it is awaited; it may be rejected before.
    lost.catch(() => undefined);
    client.on('notification', ({ payload }) => {
      options.onNotification(payload ?? '');
    });
    try {
      await client.query(`LISTEN ${client.escapeIdentifier(options.channel)}`);
      options.onListening();
      await lost;
    } finally {
      // Each reconnection would leave one behind.
      stop.signal.removeEventListener('abort', onStop);
      // Ended, not given back: nobody else should hear its notifications.
      client.release(true);
    }
  }

  return {
    async close() {
      stop.abort();
      await stopped;
    },
  };
}

function onAbort(error: unknown): void {
  if (!(error instanceof Error) || error.name !== 'AbortError') throw error;
}
