import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../../test/support/database.js';
import { withLeaderLock } from './leadership.js';

let db: TestDatabase;
beforeAll(async () => {
  db = await createTestDatabase();
});
afterAll(async () => {
  await db.drop();
});

const untilAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });

async function pidOf(client: pg.PoolClient): Promise<number> {
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  return rows[0]?.pid ?? 0;
}

describe('leading', () => {
  it('ends with its connection, though the process lives on, and the next in line leads', async () => {
    const order: string[] = [];
    const stopped = new AbortController();
    let pid = 0;
    let leading = (): void => undefined;
    const firstLeads = new Promise<void>((resolve) => (leading = resolve));
    const first = withLeaderLock(
      { pool: db.pool, key: '7', standingBy: () => undefined },
      stopped.signal,
      async (client, signal) => {
        pid = await pidOf(client);
        leading();
        await untilAborted(signal);
        order.push('the first is told');
      },
    );
    await firstLeads;
    let isStandingBy = (): void => undefined;
    const secondStandsBy = new Promise<void>((resolve) => (isStandingBy = resolve));
    const second = withLeaderLock({ pool: db.pool, key: '7', standingBy: () => isStandingBy() }, stopped.signal, () => {
      order.push('the second leads');
      return Promise.resolve();
    });
    await secondStandsBy;
    expect(order).toEqual([]);
    await db.ownerPool.query('SELECT pg_terminate_backend($1)', [pid]);
    await Promise.all([first, second]);
    expect(order.sort()).toEqual(['the first is told', 'the second leads']);
    expect(stopped.signal.aborted).toBe(false);
  });

  it('ends when it is asked to', async () => {
    const stopped = new AbortController();
    const led = withLeaderLock(
      { pool: db.pool, key: '8', standingBy: () => undefined },
      stopped.signal,
      (_, signal) => {
        stopped.abort();
        return untilAborted(signal);
      },
    );
    await expect(led).resolves.toBeUndefined();
  });
});
