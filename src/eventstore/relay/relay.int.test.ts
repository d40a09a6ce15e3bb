import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../../test/support/database.js';
import { appendForeign, appendToLedger } from '../../../test/support/eventstoredb/ledger-events.js';
import { startStandIn, type StandIn } from '../../../test/support/eventstoredb/stand-in.js';
import { comparePositions } from '../../../test/support/eventstoredb/stored-log.js';
import { startPostgresProxy } from '../../../test/support/pg-proxy.js';
import { createPostgresOutbox } from '../../outbox/postgres-outbox.js';
import { createPostgresEventStore } from '../postgres-event-store.js';
import { createPool } from '../../platform/postgres/pool.js';
import { createRelay, type Relay, type RelayLimits } from './relay.js';
import { RelayLeaseLostError, writeRelayed } from './write-relayed.js';

const HASH = createHash('sha256').update('request').digest('hex');

describe('the relay', () => {
  const cleanUps: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const clean of cleanUps.splice(0).reverse()) await clean();
  });

  interface World {
    database: TestDatabase;
    server: StandIn;
    errors: Error[];
    halts: Error[];
    relay(options?: { url?: string; databaseUrl?: string; limits?: Partial<RelayLimits> }): Relay;
    ids(): Promise<string[]>;
    /** Ids of the ledger's events in the log of the stand-in, in its order. */
    expected(): string[];
  }

  async function createWorld(): Promise<World> {
    const database = await createTestDatabase();
    cleanUps.push(() => database.drop());
    const server = await startStandIn();
    cleanUps.push(() => server.stop());
    const errors: Error[] = [];
    const halts: Error[] = [];
    return {
      database,
      server,
      errors,
      halts,
      relay: ({ url = server.url, databaseUrl, limits = {} } = {}) => {
        const pool = databaseUrl === undefined ? database.pool : createPool(databaseUrl, { max: 3 });
        const relay = createRelay({
          url,
          pool,
          ledger: 'main',
          limits: { leaseTtlMs: 1000, idleCheckpointMs: 0, ...limits },
          onError: (error) => errors.push(error),
          onHalt: (error) => halts.push(error),
          onFatal: (error) => errors.push(error as Error),
        });
        relay.start();
        cleanUps.push(async () => {
          await relay.stop();
          if (databaseUrl !== undefined) await pool.end();
        });
        return relay;
      },
      ids: async () =>
        (await database.pool.query<{ id: string }>('SELECT id FROM outbox ORDER BY position')).rows.map(({ id }) => id),
      expected: () =>
        [...server.log.all]
          .sort(comparePositions)
          .filter(({ stream }) => stream.startsWith('tallystick.main.'))
          .map(({ id }) => id),
    };
  }

  async function relayed(world: World): Promise<void> {
    await expect.poll(() => world.ids(), { timeout: 20_000 }).toEqual(world.expected());
  }

  it('fills the outbox in the order of $all, with outcomes, and takes our own members out of the metadata', async () => {
    const world = await createWorld();
    const { server, database } = world;
    appendToLedger(server.log, 'main', 'account-a', [
      { metadata: { actor: 'ü' }, data: { n: 1 } },
      { key: 'k', outcome: { requestHash: HASH, outcome: { z: 1, a: 2 } }, metadata: { traceparent: '00-1-2-03' } },
    ]);
    world.relay();
    for (let n = 0; n < 40; n += 1) appendToLedger(server.log, 'main', `account-${n % 3}`, [{ data: { n } }]);
    await relayed(world);
    const events = await createPostgresOutbox({ pool: database.pool, ledger: 'main' }).read(0n, 100);
    expect(events[0]).toMatchObject({ position: 1n, stream: 'account-a', revision: 0n, metadata: { actor: 'ü' } });
    expect(events[0]?.metadata).toEqual({ actor: 'ü' });
    expect(events[1]?.metadata).toEqual({ traceparent: '00-1-2-03' });
    const { rows } = await database.pool.query(
      `SELECT key, encode(request_hash, 'hex') AS hash, outcome::text, position FROM command_outcome`,
    );
    expect(rows).toEqual([{ key: 'k', hash: HASH, outcome: '{"z":1,"a":2}', position: 2n }]);
  });

  it('passes over system events, foreign streams and other ledgers, and keeps its place though nothing of its own comes', async () => {
    const world = await createWorld();
    const { server, database } = world;
    const relay = world.relay();
    appendToLedger(server.log, 'main', 'account-a', [{}]);
    appendToLedger(server.log, 'main2', 'account-a', [{}]);
    appendToLedger(server.log, 'main-2', 'account-a', [{}]);
    for (let n = 0; n < 3000; n += 1) appendForeign(server.log, n % 2 === 0 ? 'orders-1' : 'tallystick');
    appendToLedger(server.log, 'main', 'account-b', [{}]);
    for (let n = 0; n < 3000; n += 1) appendForeign(server.log, 'orders-1');
    await relayed(world);
    expect(await world.ids()).toHaveLength(2);
    const place = server.log.stream('tallystick.main.account-b')?.[0]?.commit ?? 0n;
    await expect
      .poll(() => (relay.status().checkpoint?.commit ?? 0n) > place + 100_000n, { timeout: 20_000 })
      .toBe(true);
    const { rows } = await database.pool.query<{ n: bigint }>('SELECT count(*) AS n FROM outbox');
    expect(rows[0]?.n).toBe(2n);
  });

  it('resubscribes when the subscription is dropped, when it falls silent, and when the server is restarted', async () => {
    const world = await createWorld();
    const { server } = world;
    const relay = world.relay({ limits: { silenceMs: 300, confirmationTimeoutMs: 300 } });
    for (let round = 0; round < 3; round += 1) {
      for (let n = 0; n < 20; n += 1) appendToLedger(server.log, 'main', `account-${round}`, [{}, {}]);
      server.dropConnections();
      for (let n = 0; n < 20; n += 1) appendToLedger(server.log, 'main', `account-${round}`, [{}]);
      await relayed(world);
    }
    server.faults.silentSubscriptions = true;
    appendToLedger(server.log, 'main', 'account-x', [{}]);
    await sleep(700);
    server.faults.silentSubscriptions = false;
    await relayed(world);
    expect(relay.status().subscriptions).toBeGreaterThan(3);

    await server.stop();
    appendToLedger(server.log, 'main', 'account-y', [{}]);
    const next = await startStandIn({ log: server.log, port: server.port });
    cleanUps.push(() => next.stop());
    await relayed(world);
  });

  it('drops what is delivered twice, and what a checkpoint ran ahead of is not lost', async () => {
    const world = await createWorld();
    const { server } = world;
    server.faults.duplicateDeliveries = true;
    server.faults.checkpointsAhead = true;
    for (let n = 0; n < 1500; n += 1) {
      if (n % 8 === 0) appendToLedger(server.log, 'main', 'account-a', [{}, {}]);
      else appendForeign(server.log, 'orders-1');
    }
    const relay = world.relay({ limits: { maxBatchEvents: 7 } });
    // At each moment the place it would begin from again has nothing of the ledger at or before it that is not in the outbox.
    for (let n = 0; n < 30; n += 1) {
      server.dropConnections();
      await sleep(10);
      const { rows } = await world.database.pool.query<{ commit: bigint; prepare: bigint; n: bigint }>(
        `SELECT commit_position AS commit, prepare_position AS prepare, (SELECT count(*) FROM outbox) AS n
         FROM relay_checkpoint`,
      );
      if (rows[0] === undefined) continue;
      const { commit, prepare } = rows[0];
      const before = server.log.all.filter(
        (event) => event.stream.startsWith('tallystick.main.') && comparePositions(event, { commit, prepare }) <= 0,
      );
      expect(rows[0].n).toBe(BigInt(before.length));
    }
    await relayed(world);
    expect(relay.status().duplicatesDropped).toBeGreaterThan(0);
  });

  it('puts the events of one append into the outbox together, though they are more than a batch', async () => {
    const world = await createWorld();
    const { log } = world.server;
    world.relay({ limits: { maxBatchEvents: 3 } });
    for (let n = 0; n < 20; n += 1)
      appendToLedger(
        log,
        'main',
        `account-${n}`,
        Array.from({ length: 1 + (n % 12) }, () => ({})),
      );
    await relayed(world);
    const { rows } = await world.database.pool.query<{ transactions: bigint }>(
      'SELECT count(DISTINCT xmin::text) AS transactions FROM outbox GROUP BY stream',
    );
    expect(rows).toEqual(Array.from({ length: 20 }, () => ({ transactions: 1n })));
  });

  it('finishes what it wrote without hearing of it, once', async () => {
    const world = await createWorld();
    const proxy = await startPostgresProxy(world.database.url);
    cleanUps.push(() => proxy.close());
    for (let n = 0; n < 50; n += 1) appendToLedger(world.server.log, 'main', 'account-a', [{}]);
    let struck = 0;
    proxy.holdAt(
      'relay_events',
      () => Promise.resolve(),
      () => (struck += 1),
    );
    world.relay({ databaseUrl: proxy.url, limits: { maxBatchEvents: 10 } });
    await relayed(world);
    expect(struck).toBe(1);
    expect(world.errors.length).toBeGreaterThan(0);
  });

  it('is one per ledger; a standby goes on within seconds where the first is stopped or cut off', async () => {
    const world = await createWorld();
    const { server } = world;
    const proxy = await startPostgresProxy(world.database.url);
    const first = world.relay({ databaseUrl: proxy.url });
    appendToLedger(server.log, 'main', 'account-a', [{}]);
    await relayed(world);
    const second = world.relay();
    await sleep(300);
    expect([first.status().state, second.status().state]).toEqual(['relaying', 'standing-by']);
    const { epoch = 0n } = first.status();
    await proxy.close();
    appendToLedger(server.log, 'main', 'account-a', [{}]);
    await relayed(world);
    expect(second.status()).toMatchObject({ state: 'relaying', epoch: epoch + 1n });
    const third = world.relay({ limits: { leaseTtlMs: 60_000 } });
    await second.stop();
    appendToLedger(server.log, 'main', 'account-a', [{}]);
    await relayed(world);
    expect(third.status().state).toBe('relaying');
  });

  it('cannot write one more row after it lost its lease, whatever it believes', async () => {
    const world = await createWorld();
    const { pool, ownerPool } = world.database;
    const acquire = `SELECT epoch FROM acquire_lease('main', 'relay', gen_random_uuid(), 100)`;
    const first = (await ownerPool.query<{ epoch: bigint }>(acquire)).rows[0]?.epoch ?? 0n;
    const [id = ''] = appendToLedger(world.server.log, 'main', 'account-a', [{}]);
    const row = {
      stream: 'account-a',
      revision: 0n,
      id,
      type: 'AccountOpened',
      schemaVersion: 1,
      dataJson: '{}',
      metadataJson: '{}',
      recordedAtMs: undefined,
      outcome: undefined,
    };
    const position = { commit: 5n, prepare: 5n };
    const write = (epoch: bigint): Promise<void> =>
      writeRelayed(pool, {
        ledger: 'main',
        epoch,
        from: undefined,
        to: position,
        events: [{ position, row, append: 'x', more: 0, bytes: 4 }],
        timeoutMs: 5000,
      });
    // The first is stopped in the middle, its batch in hand; meanwhile another takes over.
    await sleep(200);
    const second = (await ownerPool.query<{ epoch: bigint }>(acquire)).rows[0]?.epoch ?? 0n;
    expect(second).toBe(first + 1n);
    await expect(write(first)).rejects.toThrow(RelayLeaseLostError);
    expect(await world.ids()).toEqual([]);
    await write(second);
    expect(await world.ids()).toEqual([id]);
    // Nor can one that holds the lease write from a place where it does not stand.
    await expect(write(second)).rejects.toThrow(/stands at 5\/5/);
  });

  it('holds a takeover up until a batch that is being written is done', async () => {
    const world = await createWorld();
    const { ownerPool } = world.database;
    await ownerPool.query(`SELECT acquire_lease('main', 'relay', gen_random_uuid(), 100)`);
    const writing = await ownerPool.connect();
    await writing.query('BEGIN');
    await writing.query(
      `SELECT relay_events('main', 1, null, null, 7, 7, '{s}', '{0}', '{00000000-0000-4000-8000-000000000001}', '{T}', '{1}',
         array['{}'::jsonb], array['{}'::jsonb], null, '{}', '{}', '{}', '{}')`,
    );
    await sleep(200);
    let taken = false;
    const taking = ownerPool
      .query(`SELECT epoch FROM acquire_lease('main', 'relay', gen_random_uuid(), 100)`)
      .then(() => (taken = true));
    await sleep(200);
    expect(taken).toBe(false);
    await writing.query('COMMIT');
    await taking;
    writing.release();
    expect(await world.ids()).toHaveLength(1);
  });

  it('writes the first batch once, though its caller gave it up and it is still being written', async () => {
    const world = await createWorld();
    const { ownerPool } = world.database;
    await ownerPool.query(`SELECT acquire_lease('main', 'relay', gen_random_uuid(), 60000)`);
    const first = `SELECT relay_events('main', 1, null, null, 7, 7, '{s}', '{0}', '{00000000-0000-4000-8000-000000000001}',
      '{T}', '{1}', array['{}'::jsonb], array['{}'::jsonb], null, '{}', '{}', '{}', '{}')`;
    const writing = await ownerPool.connect();
    await writing.query('BEGIN');
    await writing.query(first);
    const again = ownerPool.query(first).then(
      () => 'written',
      (error: unknown) => (error as { code: string }).code,
    );
    await sleep(200);
    await writing.query('COMMIT');
    writing.release();
    expect(await again).toBe('TY002');
    expect(await world.ids()).toHaveLength(1);
  });

  it.each([
    ['metadata that is not ours', 'tallystick.main.account-b', '{}', '{"n":1}'],
    [
      'data that is no JSON',
      'tallystick.main.account-b',
      '{"tallystick":{"revision":"0","schemaVersion":1,"append":"x"}}',
      '{"n',
    ],
    [
      'a revision that does not follow',
      'tallystick.main.account-b',
      '{"tallystick":{"revision":"4","schemaVersion":1,"append":"x"}}',
      '{}',
    ],
    [
      'a part of an append',
      'tallystick.main.account-b',
      '{"tallystick":{"revision":"0","schemaVersion":1,"append":"x","more":1}}',
      '{}',
    ],
  ])(
    'halts at %s, naming the event, with all before it written and nothing after it',
    async (_, stream, metadata, data) => {
      const world = await createWorld();
      const { log } = world.server;
      const before = appendToLedger(log, 'main', 'account-a', [{}, {}, {}]);
      const id = '00000000-0000-4000-8000-00000000dead';
      log.append(stream, 'any', [
        {
          id,
          type: 'AccountOpened',
          contentType: 'application/json',
          data: Buffer.from(data),
          metadata: Buffer.from(metadata),
        },
      ]);
      appendToLedger(log, 'main', 'account-a', [{}]);
      const relay = world.relay();
      await expect.poll(() => relay.status().state, { timeout: 20_000 }).toBe('halted');
      expect(relay.status().reason).toContain(id);
      expect(world.halts).toHaveLength(1);
      await sleep(200);
      expect(await world.ids()).toEqual(before);
    },
  );

  it('halts where the outbox was filled without it, and where it fills the outbox nobody else does', async () => {
    const world = await createWorld();
    const store = createPostgresEventStore({ pool: world.database.pool, ledger: 'main' });
    const event = {
      id: '00000000-0000-4000-8000-000000000001',
      type: 'AccountOpened',
      schemaVersion: 1,
      data: {},
      metadata: {},
    };
    const append = { stream: 'account-a', expectedRevision: 'no-stream', events: [event] } as const;
    await store.append(append);
    appendToLedger(world.server.log, 'main', 'account-b', [{}]);
    const relay = world.relay();
    await expect.poll(() => relay.status().state, { timeout: 20_000 }).toBe('halted');
    expect(relay.status().reason).toMatch(/filled without EventStoreDB/);
    await store.close();

    const relayedOnly = await createWorld();
    appendToLedger(relayedOnly.server.log, 'main', 'account-b', [{}]);
    relayedOnly.relay();
    await relayed(relayedOnly);
    const other = createPostgresEventStore({ pool: relayedOnly.database.pool, ledger: 'main' });
    await expect(other.append(append)).rejects.toThrow(/EVENT_STORE must be eventstoredb/);
    await other.close();
  });

  it('keeps the times of imported events, as far as time does not go back', async () => {
    const world = await createWorld();
    const { log } = world.server;
    const at = (second: number): number => Date.UTC(2020, 0, 1, 0, 0, second);
    appendToLedger(log, 'main', 'account-a', [
      { recordedAtMs: at(1) },
      { recordedAtMs: at(5) },
      { recordedAtMs: at(3) },
    ]);
    world.relay();
    await relayed(world);
    appendToLedger(log, 'main', 'account-a', [{}]);
    await relayed(world);
    const events = await createPostgresOutbox({ pool: world.database.pool, ledger: 'main' }).read(0n, 100);
    expect(events.slice(0, 3).map(({ recordedAt }) => recordedAt.getTime())).toEqual([at(1), at(5), at(5)]);
    expect(events[3]?.recordedAt.getFullYear()).toBeGreaterThan(2020);
  });
});
