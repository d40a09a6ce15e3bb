import type pg from 'pg';
import type { EventStore } from '../eventstore/event-store.js';
import { createEventStoreDbEventStore } from '../eventstore/eventstoredb/eventstoredb-event-store.js';
import { createPostgresEventStore } from '../eventstore/postgres-event-store.js';
import { createRelay } from '../eventstore/relay/relay.js';

/** Runs something with a relay of this process, unless another one is at it; what the relay cannot get over ends it. */
export async function withRelay<T>(
  options: { url: string; pool: pg.Pool; ledger: string },
  run: () => Promise<T>,
): Promise<T> {
  let fail: (error: unknown) => void = () => undefined;
  const failed = new Promise<never>((_resolve, reject) => (fail = reject));
  const relay = createRelay({ ...options, onHalt: fail, onFatal: fail });
  relay.start();
  try {
    return await Promise.race([run(), failed]);
  } finally {
    await relay.stop();
  }
}

/** Runs something with the configured event store. */
export async function withEventStore<T>(
  { url, pool, ledger }: { url: string | undefined; pool: pg.Pool; ledger: string },
  run: (store: EventStore) => Promise<T>,
): Promise<T> {
  const runAndClose = async (store: EventStore): Promise<T> => {
    try {
      return await run(store);
    } finally {
      await store.close();
    }
  };
  if (url === undefined) return runAndClose(createPostgresEventStore({ pool, ledger }));
  return withRelay({ url, pool, ledger }, () => runAndClose(createEventStoreDbEventStore({ url, pool, ledger })));
}
