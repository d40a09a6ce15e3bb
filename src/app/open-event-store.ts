import type { EventStore } from '../eventstore/event-store.js';
import { createPostgresEventStore } from '../eventstore/postgres-event-store.js';
import type { OutboxFeed } from '../outbox/outbox.js';
import { createPostgresFeed } from '../outbox/postgres-feed.js';
import type { LedgerContext } from './process-parts.js';

/** Where events are appended, and how this process hears of them. */
export function openEventStore({ ledger, pool, enginePool, onTrouble, closers }: LedgerContext): {
  store: EventStore;
  feed: OutboxFeed;
} {
  const feed = createPostgresFeed({ pool: enginePool, ledger, onError: onTrouble });
  closers.add('feed', () => feed.close());
  const store = createPostgresEventStore({
    pool,
    ledger,
    onCommitted: (batch) => {
      feed.committed(batch);
    },
  });
  closers.add('event store', () => store.close());
  return { store, feed };
}
