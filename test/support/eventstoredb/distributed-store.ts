import { createHash, randomUUID } from 'node:crypto';
import type { AppendLimits } from '../../../src/eventstore/append-limits.js';
import type { AppendRequest, EventStore, NewEvent } from '../../../src/eventstore/event-store.js';
import type { EventStoreDbLimits } from '../../../src/eventstore/eventstoredb/esdb-limits.js';
import { createEventStoreDbEventStore } from '../../../src/eventstore/eventstoredb/eventstoredb-event-store.js';
import { createRelay, type Relay, type RelayLimits } from '../../../src/eventstore/relay/relay.js';
import { listenToOutbox } from '../../../src/outbox/listen-to-outbox.js';
import { createPostgresOutbox } from '../../../src/outbox/postgres-outbox.js';
import type { Outbox } from '../../../src/outbox/outbox.js';
import { createPool } from '../../../src/platform/postgres/pool.js';
import { createTestDatabase, type TestDatabase } from '../database.js';
import { startStandIn, type StandIn } from './stand-in.js';

export interface DistributedLedger {
  database: TestDatabase;
  server: StandIn;
  outbox: Outbox;
  /** What was got over. */
  errors: Error[];
  /** What must not happen. */
  fatal: unknown[];
  /** Another process with an event store. */
  store(options?: {
    url?: string;
    databaseUrl?: string;
    limits?: Partial<AppendLimits>;
    storeLimits?: Partial<EventStoreDbLimits>;
  }): EventStore;
  /** Another process with a relay. */
  relay(options?: { databaseUrl?: string; limits?: Partial<RelayLimits> }): Relay;
  close(): Promise<void>;
}

/** A ledger in the stand-in and a database of its own, with as many event stores and relays as a test wants. */
export async function createDistributedLedger(): Promise<DistributedLedger> {
  const database = await createTestDatabase();
  const server = await startStandIn();
  const errors: Error[] = [];
  const fatal: unknown[] = [];
  const closers: (() => Promise<unknown>)[] = [];
  const onError = (error: Error): void => {
    errors.push(error);
  };
  return {
    database,
    server,
    outbox: createPostgresOutbox({ pool: database.pool, ledger: 'main' }),
    errors,
    fatal,
    store({ url = server.url, databaseUrl = database.url, limits = {}, storeLimits = {} } = {}) {
      const pool = createPool(databaseUrl, { max: 4, onError });
      const store = createEventStoreDbEventStore({
        url,
        pool,
        ledger: 'main',
        limits,
        storeLimits,
        onError,
        listen: (wake) => listenToOutbox({ pool, ledger: 'main', onError }, wake),
      });
      closers.push(async () => {
        await store.close();
        await pool.end();
      });
      return store;
    },
    relay({ databaseUrl = database.url, limits = {} } = {}) {
      const pool = createPool(databaseUrl, { max: 3, onError });
      const relay = createRelay({
        url: server.url,
        pool,
        ledger: 'main',
        limits: { leaseTtlMs: 1000, ...limits },
        onError,
        onHalt: (error) => fatal.push(error),
        onFatal: (error) => fatal.push(error),
      });
      relay.start();
      closers.push(async () => {
        await relay.stop();
        await pool.end();
      });
      return relay;
    },
    async close() {
      for (const close of closers.splice(0).reverse()) await close();
      await server.stop();
      await database.drop();
    },
  };
}

export function accountEvent(data: unknown = {}, id: string = randomUUID()): NewEvent {
  return { id, type: 'AccountOpened', schemaVersion: 1, data, metadata: {} };
}

/** Ids of a key's events, as commands derive them. */
export function idOfKey(key: string, index = 0): string {
  const hex = createHash('sha256').update(`${key}/${index}`).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** A command: its events' ids are of its key, its outcome says what it asked for. */
export function command(
  key: string,
  request: string,
  append: Pick<AppendRequest, 'stream' | 'expectedRevision'>,
  events = 1,
): AppendRequest {
  return {
    ...append,
    events: Array.from({ length: events }, (_, n) => accountEvent({ key, request, n }, idOfKey(key, n))),
    idempotency: {
      key,
      requestHash: createHash('sha256').update(request).digest('hex'),
      outcome: { status: 201, request },
    },
  };
}
