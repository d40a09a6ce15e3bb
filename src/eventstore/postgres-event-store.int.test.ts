import { createTestDatabase } from '../../test/support/database.js';
import { createPostgresOutbox } from '../outbox/postgres-outbox.js';
import { describeEventStoreContract } from './event-store.contract.js';
import { createPostgresEventStore } from './postgres-event-store.js';

describeEventStoreContract('PostgreSQL', async () => {
  const database = await createTestDatabase();
  const { pool } = database;
  return {
    open: (limits = {}) => createPostgresEventStore({ pool, ledger: 'main', limits }),
    outbox: createPostgresOutbox({ pool, ledger: 'main' }),
    drop: () => database.drop(),
  };
});
