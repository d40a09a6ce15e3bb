import { createHash } from 'node:crypto';
import fc from 'fast-check';
import type pg from 'pg';
import { afterEach, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../../test/support/database.js';
import { startStandIn } from '../../../test/support/eventstoredb/stand-in.js';
import { tellLog } from '../../../test/support/ledger-log.js';
import { history } from '../../../test/support/history-plan.js';
import { tellHistory } from '../../../test/support/ledger-model.js';
import { dumpTables, projectToHead } from '../../../test/support/live-read-models.js';
import { readSchema } from '../../projections/tables/identifiers.js';
import { createEventStoreConnection } from '../eventstoredb/connection.js';
import { createRelay } from '../relay/relay.js';
import { createEventStoreDbSink } from './eventstoredb-sink.js';
import { importLog, type ImportSink } from './import-log.js';
import { formatLogLine, parseLogLine, type LogLine } from './log-line.js';
import { createPostgresSink } from './postgres-sink.js';
import { readLog } from './read-log.js';

describe('a log that is moved from one event store to the other', () => {
  const cleanUps: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const clean of cleanUps.splice(0).reverse()) await clean();
  });

  async function newDatabase(): Promise<TestDatabase> {
    const database = await createTestDatabase();
    cleanUps.push(() => database.drop());
    return database;
  }

  /** An EventStoreDB of its own, with its relay. */
  async function newEventStoreDb(pool: pg.Pool): Promise<ImportSink> {
    const server = await startStandIn();
    const relay = createRelay({
      url: server.url,
      pool,
      ledger: 'main',
      onFatal: (error) => expect(error).toBeUndefined(),
    });
    relay.start();
    const connection = createEventStoreConnection(server.url);
    cleanUps.push(async () => {
      connection.close();
      await relay.stop();
      await server.stop();
    });
    return createEventStoreDbSink({ connection, pool, ledger: 'main', onError: () => undefined });
  }

  /** A ledger as somebody used it, with answered, refused and unnamed commands. */
  async function usedLedger(seed: number): Promise<TestDatabase> {
    const database = await newDatabase();
    const { ownerPool } = database;
    let head = 0n;
    for (const steps of fc.sample(history, { seed, numRuns: 1 }))
      head = await tellLog(ownerPool, 'main', tellHistory(steps));
    const hash = createHash('sha256').update('request').digest('hex');
    await ownerPool.query(
      `INSERT INTO command_outcome
       SELECT 'main', 'key-' || n, decode($1, 'hex'), ('{"z":' || n || ',"a":1}')::json, CASE WHEN n % 3 = 0 THEN NULL ELSE n END, now()
       FROM generate_series(1, $2::bigint) n`,
      [hash, head],
    );
    return database;
  }

  async function exported(pool: pg.Pool): Promise<string[]> {
    const lines: string[] = [];
    for await (const line of readLog(pool, 'main', 0n)) lines.push(formatLogLine(line));
    return lines;
  }

  async function* read(
    lines: readonly string[],
    stopAfter = Number.POSITIVE_INFINITY,
  ): AsyncGenerator<LogLine, void, void> {
    let n = 0;
    for (const text of lines) {
      n += 1;
      if (n > stopAfter) throw new Error('killed');
      yield await Promise.resolve(parseLogLine(text, n));
    }
  }

  async function readModels(pool: pg.Pool): Promise<unknown> {
    expect(await projectToHead(pool, 'main')).toEqual([]);
    return dumpTables(pool, readSchema('main'));
  }

  it.each([1, 2, 3])(
    'keeps order, ids, times and outcomes, and every read model, there and back (seed %i)',
    async (seed) => {
      const embedded = await usedLedger(seed);
      const log = await exported(embedded.pool);
      const models = await readModels(embedded.pool);

      const distributed = await newDatabase();
      const there = await newEventStoreDb(distributed.pool);
      await importLog({ pool: distributed.pool, ledger: 'main', lines: read(log), sink: there });
      expect(await exported(distributed.pool)).toEqual(log);
      expect(await readModels(distributed.pool)).toEqual(models);

      const back = await newDatabase();
      const sink = createPostgresSink(back.pool, 'main');
      await importLog({ pool: back.pool, ledger: 'main', lines: read(await exported(distributed.pool)), sink });
      expect(await exported(back.pool)).toEqual(log);
      expect(await readModels(back.pool)).toEqual(models);
    },
  );

  it.each(['PostgreSQL', 'EventStoreDB'])('goes on where an import into %s was interrupted', async (kind) => {
    const log = await exported((await usedLedger(4)).pool);
    const { pool } = await newDatabase();
    const inner = kind === 'PostgreSQL' ? createPostgresSink(pool, 'main') : await newEventStoreDb(pool);
    // Small pages, so that the interruption is between them.
    const sink: ImportSink = {
      prepare: () => inner.prepare(),
      write: async (events) => {
        for (let at = 0; at < events.length; at += 3) await inner.write(events.slice(at, at + 3));
      },
    };
    const events = log.filter((line) => line.startsWith('{"position"')).length;
    await expect(importLog({ pool, ledger: 'main', lines: read(log, events >> 1), sink })).rejects.toThrow('killed');
    // What is read but not written yet is lost with the process: a page before it, nothing.
    await importLog({ pool, ledger: 'main', lines: read(log.slice(0, events >> 1)), sink });
    const summary = await importLog({ pool, ledger: 'main', lines: read(log), sink });
    expect(summary).toMatchObject({ position: BigInt(events), skipped: events >> 1 });
    expect(await exported(pool)).toEqual(log);
    // And once more changes nothing.
    expect(await importLog({ pool, ledger: 'main', lines: read(log), sink })).toMatchObject({ skipped: events });
    expect(await exported(pool)).toEqual(log);
  });

  it('is refused by a ledger that is not empty, where it has a hole, and where a line is none', async () => {
    const log = await exported((await usedLedger(5)).pool);
    // The same but for the id of its third event.
    const other = log.map((line, index) => (index === 2 ? line.replace(/"id":"..../, '"id":"0000') : line));
    const { pool } = await newDatabase();
    const sink = createPostgresSink(pool, 'main');
    const load = (lines: readonly string[]): Promise<unknown> =>
      importLog({ pool, ledger: 'main', lines: read(lines), sink });
    await expect(load([...log.slice(0, 3), ...log.slice(4)])).rejects.toThrow(/position 4 is missing/);
    await expect(load(log.slice(1))).rejects.toThrow(/position 1 is missing/);
    await expect(load(['{"position":"1"}'])).rejects.toThrow(/line 1 is not one of an exported log/);
    expect(await exported(pool)).toEqual([]);
    await load(log);
    await expect(load(other)).rejects.toThrow(/is not empty: it holds another event at position 3/);
    await expect(load(log.slice(0, 2))).rejects.toThrow(/is not empty: it goes on/);
    expect(await exported(pool)).toEqual(log);
  });
});
