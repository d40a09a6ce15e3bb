import type pg from 'pg';
import { createListener, type Listener } from '../outbox/listener.js';

/** Channel on which a projector tells other processes that it has moved checkpoints: `ledger:position`. */
export const PROJECTED_CHANNEL = 'tallystick_projected';
const RECONNECT_MS = 200;

/** Hears of read models that other processes move: one connection for all ledgers of this process, where it has to listen at all. */
export interface ProjectedListener {
  /** Calls back whenever a ledger's read models have moved, and after a lost connection. Returns what ends it. */
  on(ledger: string, wake: () => void): () => void;
  close(): Promise<void>;
}

export function createProjectedListener(pool: pg.Pool, onError: (error: Error) => void): ProjectedListener {
  const wakers = new Map<string, Set<() => void>>();
  let listener: Listener | undefined;

  function wakeAll(): void {
    for (const each of wakers.values()) for (const wake of each) wake();
  }

  return {
    on(ledger, wake) {
      const those = wakers.get(ledger) ?? new Set();
      wakers.set(ledger, those.add(wake));
      listener ??= createListener({
        pool,
        channel: PROJECTED_CHANNEL,
        onNotification: (payload) => {
          for (const each of wakers.get(payload.slice(0, payload.indexOf(':'))) ?? []) each();
        },
        onListening: wakeAll,
        onError,
        reconnectDelayMs: RECONNECT_MS,
      });
      return () => those.delete(wake);
    },
    close: async () => {
      await listener?.close();
    },
  };
}
