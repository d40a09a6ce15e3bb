import type { EventStore } from '../eventstore/event-store.js';
import { createPostgresEventStore } from '../eventstore/postgres-event-store.js';
import { traceAppends } from '../eventstore/trace-appends.js';
import { listenToOutbox } from '../outbox/listen-to-outbox.js';
import { createPostgresFeed, type PostgresFeed } from '../outbox/postgres-feed.js';
import { invariant } from '../platform/assert.js';
import type { LedgerContext } from './process-parts.js';

/** How this process hears of what is in the outbox. */
export function openFeed({ ledger, enginePool, onTrouble, closers }: LedgerContext): PostgresFeed {
  const feed = createPostgresFeed({ pool: enginePool, ledger, onError: onTrouble });
  closers.add('feed', () => feed.close());
  return feed;
}

/** As OpenTelemetry names them. */
const DATABASE_SYSTEMS = { postgres: 'postgresql', eventstoredb: 'eventstoredb' } as const;

/** Where events are appended. What this process commits itself, `feed` is told at once. */
export async function openEventStore(context: LedgerContext, feed: PostgresFeed): Promise<EventStore> {
  const { config, ledger, pool, closers, tracing } = context;
  const store =
    config.eventStore === 'eventstoredb'
      ? await openEventStoreDb(context)
      : createPostgresEventStore({
          pool,
          ledger,
          onCommitted: (batch) => {
            feed.committed(batch);
          },
        });
  closers.add('event store', () => store.close());
  return tracing ? traceAppends(store, tracing, DATABASE_SYSTEMS[config.eventStore]) : store;
}

/** Appends go to EventStoreDB; the relay, here or in another process, brings them into the outbox. */
async function openEventStoreDb({ config, ledger, pool, enginePool, onTrouble }: LedgerContext): Promise<EventStore> {
  const { eventStoreDbUrl: url } = config;
  invariant(url !== undefined, 'EventStoreDB has a URL');
  // Read in by who uses it: its client is much code, and a start should not wait for what it does not need.
  const { createEventStoreDbEventStore } = await import('../eventstore/eventstoredb/eventstoredb-event-store.js');
  return createEventStoreDbEventStore({
    url,
    pool,
    ledger,
    onError: onTrouble,
    listen: (wake) => listenToOutbox({ pool: enginePool, ledger, onError: onTrouble }, wake),
  });
}
