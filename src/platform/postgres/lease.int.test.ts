import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../../test/support/database.js';
import { startPostgresProxy } from '../../../test/support/pg-proxy.js';
import { withLease, type HeldLease } from './lease.js';
import { createPool } from './pool.js';

describe('a lease', () => {
  let database: TestDatabase;
  let role = '';
  let counter = 0;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());
  beforeEach(() => {
    counter += 1;
    role = `role-${counter}`;
  });

  interface Holder {
    leases: HeldLease[];
    errors: Error[];
    stop(): Promise<void>;
    ended: Promise<void>;
  }

  /** Holds the lease until it is stopped, or loses it and waits for it again. */
  function hold(options: { pool?: pg.Pool; ttlMs?: number; monotonicMs?: () => number } = {}): Holder {
    const stop = new AbortController();
    const leases: HeldLease[] = [];
    const errors: Error[] = [];
    const ended = withLease(
      { pool: database.pool, ledger: 'main', role, ttlMs: 400, onError: (error) => errors.push(error), ...options },
      stop.signal,
      async (lease) => {
        leases.push(lease);
        if (!lease.signal.aborted) await new Promise((resolve) => lease.signal.addEventListener('abort', resolve));
      },
    );
    return {
      leases,
      errors,
      ended,
      stop: async () => {
        stop.abort();
        await ended;
      },
    };
  }

  it('has one holder; who waits gets it as soon as it is given back, with a higher epoch', async () => {
    const first = hold({ ttlMs: 60_000 });
    await expect.poll(() => first.leases.length).toBe(1);
    const second = hold({ ttlMs: 60_000 });
    await sleep(300);
    expect(second.leases).toHaveLength(0);
    await first.stop();
    await expect.poll(() => second.leases.length, { timeout: 5000 }).toBe(1);
    expect(second.leases[0]?.epoch).toBe((first.leases[0]?.epoch ?? 0n) + 1n);
    expect(first.leases[0]?.signal.aborted).toBe(true);
    await second.stop();
  });

  it('is renewed for as long as it is held', async () => {
    const first = hold();
    await expect.poll(() => first.leases.length).toBe(1);
    const second = hold();
    await sleep(1500);
    expect(first.leases[0]?.isHeld()).toBe(true);
    expect(second.leases).toHaveLength(0);
    await Promise.all([first.stop(), second.stop()]);
    expect(first.leases).toHaveLength(1);
  });

  it('passes to another when its holder is gone, with a higher epoch', async () => {
    await database.ownerPool.query(`SELECT acquire_lease('main', $1, gen_random_uuid(), 500)`, [role]);
    const second = hold();
    await sleep(200);
    expect(second.leases).toHaveLength(0);
    await expect.poll(() => second.leases.length, { timeout: 5000 }).toBe(1);
    expect(second.leases[0]?.epoch).toBe(2n);
    await second.stop();
  });

  it('is lost by a holder that was stopped for longer than it lasts, before it is told', async () => {
    let stoppedMs = 0;
    const first = hold({ monotonicMs: () => performance.now() + stoppedMs });
    await expect.poll(() => first.leases.length).toBe(1);
    const [lease] = first.leases;
    expect(lease?.isHeld()).toBe(true);
    // As after SIGSTOP and SIGCONT: time has passed and no timer has fired.
    stoppedMs = 60_000;
    expect(lease?.isHeld()).toBe(false);
    await expect.poll(() => lease?.signal.aborted).toBe(true);
    await expect.poll(() => first.leases.length, { timeout: 5000 }).toBe(2);
    await first.stop();
  });

  it('gets a new epoch when its own holder takes it again after it ran out: it may have been another in between', async () => {
    const acquire = async (): Promise<bigint> => {
      const sql = `SELECT epoch FROM acquire_lease('main', $1, '00000000-0000-4000-8000-000000000001', 100)`;
      return (await database.pool.query<{ epoch: bigint }>(sql, [role])).rows[0]?.epoch ?? 0n;
    };
    const first = await acquire();
    expect(await acquire()).toBe(first);
    await sleep(200);
    expect(await acquire()).toBe(first + 1n);
  });

  it('is given up before it runs out where the database is away, and passes to another meanwhile', async () => {
    const proxy = await startPostgresProxy(database.url);
    const pool = createPool(proxy.url, { max: 2 });
    const first = hold({ pool, ttlMs: 1000 });
    await expect.poll(() => first.leases.length).toBe(1);
    const second = hold({ ttlMs: 1000 });
    await proxy.close();
    await expect.poll(() => second.leases.length, { timeout: 5000 }).toBe(1);
    expect(first.leases[0]?.signal.aborted).toBe(true);
    expect(first.errors.length).toBeGreaterThan(0);
    await Promise.all([first.stop(), second.stop()]);
    await pool.end();
  });

  it('is kept when one connection is killed and another can be had', async () => {
    const first = hold({ ttlMs: 2000 });
    await expect.poll(() => first.leases.length).toBe(1);
    await database.ownerPool.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
    );
    await sleep(2500);
    expect(first.leases).toHaveLength(1);
    expect(first.leases[0]?.isHeld()).toBe(true);
    await first.stop();
  });

  it('ends with the error of its work, and is free at once', async () => {
    const failing = withLease(
      { pool: database.pool, ledger: 'main', role, ttlMs: 60_000 },
      new AbortController().signal,
      () => Promise.reject(new Error('a bug')),
    );
    await expect(failing).rejects.toThrow('a bug');
    const second = hold();
    await expect.poll(() => second.leases.length, { timeout: 3000 }).toBe(1);
    await second.stop();
  });

  it('cannot be written by the application otherwise', async () => {
    await expect(database.pool.query(`UPDATE lease SET epoch = 1`)).rejects.toThrow(/permission denied/);
    await expect(database.pool.query(`SELECT acquire_lease('main', 'x', gen_random_uuid(), 1)`)).rejects.toThrow(
      /100 ms/,
    );
  });
});
