import { createTestDatabase } from '../../../test/support/database.js';
import { startStandIn } from '../../../test/support/eventstoredb/stand-in.js';
import { listenToOutbox } from '../../outbox/listen-to-outbox.js';
import { createPostgresOutbox } from '../../outbox/postgres-outbox.js';
import { describeEventStoreContract } from '../event-store.contract.js';
import { createRelay } from '../relay/relay.js';
import { createEventStoreDbEventStore } from './eventstoredb-event-store.js';

describeEventStoreContract('EventStoreDB (the stand-in)', async () => {
  const database = await createTestDatabase();
  const server = await startStandIn();
  const { pool } = database;
  const onError = (error: unknown): void => {
    throw error;
  };
  const relay = createRelay({ url: server.url, pool, ledger: 'main', onFatal: onError, onHalt: onError });
  relay.start();
  return {
    open: (limits = {}) =>
      createEventStoreDbEventStore({
        url: server.url,
        pool,
        ledger: 'main',
        limits,
        listen: (wake) => listenToOutbox({ pool, ledger: 'main', onError: () => undefined }, wake),
      }),
    outbox: createPostgresOutbox({ pool, ledger: 'main' }),
    drop: async () => {
      await relay.stop();
      await server.stop();
      await database.drop();
    },
  };
});
