import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/support/database.js';
import { createPostgresEventStore } from '../eventstore/postgres-event-store.js';
import type { ProjectionStatus } from './status.js';
import { readUnprojectedAges } from './unprojected-ages.js';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});

afterAll(async () => {
  await database.drop();
});

function standing(name: string, position: bigint, state: ProjectionStatus['state'] = 'live'): ProjectionStatus {
  return { name, position, lagEvents: 3n - position, state, reason: null, haltedAt: null };
}

describe('the age of the oldest event that a read model lacks', () => {
  it('is that of the first after its position, by the clock of the database', async () => {
    const store = createPostgresEventStore({ pool: database.pool, ledger: 'main' });
    for (const [n, id] of ['a', 'b', 'c'].entries()) {
      const event = {
        id: `0000000${id}-0000-4000-8000-000000000000`,
        type: 'AccountOpened',
        schemaVersion: 1,
        data: { accountId: id },
        metadata: {},
      };
      const expectedRevision = n === 0 ? 'no-stream' : BigInt(n - 1);
      expect(await store.append({ stream: 'account-x', expectedRevision, events: [event] })).toMatchObject({
        kind: 'appended',
      });
    }
    await store.close();
    // The first hour-old, the second a minute.
    await database.ownerPool.query(`ALTER TABLE outbox DISABLE TRIGGER USER`);
    await database.ownerPool.query(`UPDATE outbox SET recorded_at = now() - CASE position
      WHEN 1 THEN interval '1 hour' WHEN 2 THEN interval '1 minute' ELSE interval '0' END`);

    const ages = await readUnprojectedAges(database.pool, 'main', [
      standing('none', 0n),
      standing('some', 1n),
      standing('all', 3n),
      standing('stopped', 0n, 'halted'),
      standing('new', 0n, 'rebuilding'),
    ]);
    const minutes = Object.fromEntries([...ages].map(([name, seconds]) => [name, Math.floor(seconds / 60)]));
    expect(minutes).toEqual({ none: 60, some: 1, all: 0, stopped: 60 });
    expect(ages.get('all')).toBe(0);
  });
});
