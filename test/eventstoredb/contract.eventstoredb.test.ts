import { randomBytes } from 'node:crypto';
import { describeEventStoreContract } from '../../src/eventstore/event-store.contract.js';
import { createEventStoreDbEventStore } from '../../src/eventstore/eventstoredb/eventstoredb-event-store.js';
import { createRelay } from '../../src/eventstore/relay/relay.js';
import { listenToOutbox } from '../../src/outbox/listen-to-outbox.js';
import { createPostgresOutbox } from '../../src/outbox/postgres-outbox.js';
import { createTestDatabase } from '../support/database.js';

const url = process.env['EVENTSTOREDB_URL'] ?? '';
/** A ledger of this run alone: its streams are `tallystick.test-….`, and nobody else's are touched. */
const ledger = `test-${randomBytes(8).toString('hex')}`;

describeEventStoreContract(`EventStoreDB (a real server, ledger ${ledger})`, async () => {
  const database = await createTestDatabase();
  const { pool } = database;
  const fail = (error: unknown): void => {
    throw error;
  };
  const relay = createRelay({ url, pool, ledger, onFatal: fail, onHalt: fail });
  relay.start();
  return {
    open: (limits = {}) =>
      createEventStoreDbEventStore({
        url,
        pool,
        ledger,
        limits,
        listen: (wake) => listenToOutbox({ pool, ledger, onError: () => undefined }, wake),
      }),
    outbox: createPostgresOutbox({ pool, ledger }),
    drop: async () => {
      await relay.stop();
      await database.drop();
    },
  };
});
