import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { createLedgerClient } from '../support/ledger-client.js';
import { runJourney, type JourneyResult } from '../support/journey.js';
import { startPostgresProxy, type PostgresProxy } from '../support/pg-proxy.js';
import { runTallystick, startLedgerProcess, type LedgerProcess } from '../support/ledger-process.js';

/** Kills per kind; `TALLYSTICK_KILLS=0` kills at every statement there is, which takes hours. */
const KILLS = Number(process.env['TALLYSTICK_KILLS'] ?? 2);
/** A kill, a journey and its comparison take some 10 s; every statement is as many as there are. */
const timeoutMs = (usualMs: number): number => (KILLS === 0 ? 24 * 3_600_000 : usualMs * Math.max(1, KILLS / 2));

let database: TestDatabase;
let proxy: PostgresProxy;
let dataDir: string;
let ledger: LedgerProcess | undefined;

beforeEach(async () => {
  database = await createTestDatabase();
  proxy = await startPostgresProxy(database.url);
  dataDir = mkdtempSync(join(tmpdir(), 'tallystick-crash-'));
});

afterEach(async () => {
  await ledger?.kill();
  ledger = undefined;
  await proxy.close();
  await database.drop();
  rmSync(dataDir, { recursive: true, force: true });
});

function environment(): Record<string, string> {
  return { DATABASE_URL: proxy.url, DATA_DIR: dataDir, BITCOIN_SOURCE: 'push' };
}

/** The log without what differs from run to run: times, traces. */
async function readLog(): Promise<unknown[]> {
  const { rows } = await database.pool.query<Record<string, unknown>>(
    `SELECT position, id, stream, revision, type, schema_version, data FROM outbox WHERE ledger = 'main' ORDER BY position`,
  );
  return rows;
}

interface Finished {
  journey: JourneyResult;
  log: unknown[];
  balances: unknown[];
}

/** A stop ends the read models where they are: they are compared at the end of the log. */
async function readModelsAtHead(): Promise<void> {
  const { rows } = await database.pool.query<{ position: bigint }>(
    `SELECT position FROM ledger_head WHERE ledger = 'main'`,
  );
  const head = { 'ledger-min-position': String(rows[0]?.position) };
  const ask = async (): Promise<number> =>
    (await createLedgerClient(ledger?.url ?? '').get('/v1/accounts/bob', head)).status;
  await expect.poll(ask, { timeout: 60_000 }).toBe(200);
}

async function finish(journey: JourneyResult): Promise<Finished> {
  await readModelsAtHead();
  await ledger?.stop();
  ledger = undefined;
  const verified = await runTallystick(['verify', '--json'], environment());
  expect(verified, 'verify after the journey').toMatchObject({ code: 0 });
  const { rows } = await database.pool.query(
    `SELECT account_id, height, deposited_sats, matured_sats FROM read_main.account_chain
      WHERE to_position = 9223372036854775807 ORDER BY account_id, height`,
  );
  return { journey, log: await readLog(), balances: rows };
}

async function undisturbed(): Promise<{ finished: Finished; statements: number }> {
  ledger = await startLedgerProcess(environment());
  const before = proxy.statements();
  const journey = await runJourney(() => ledger?.url ?? '');
  const statements = proxy.statements() - before;
  return { finished: await finish(journey), statements };
}

async function killedAt(n: number, when: 'before' | 'after'): Promise<Finished> {
  ledger = await startLedgerProcess(environment());
  let restarted: Promise<void> = Promise.resolve();
  proxy.strikeAt(n, when, () => {
    const struck = ledger;
    restarted = (async () => {
      await struck?.kill();
      ledger = await startLedgerProcess(environment());
    })();
  });
  const journey = await runJourney(() => ledger?.url ?? '');
  await restarted;
  return finish(journey);
}

describe('a ledger that is killed between two of its writes', () => {
  it(
    'ends with the very log of one that was not, and every answer that it gave still holds',
    async () => {
      const { finished: expected, statements } = await undisturbed();
      expect(statements).toBeGreaterThan(100);
      const points = KILLS === 0 ? statements : KILLS;
      for (let k = 0; k < points; k += 1) {
        const n = KILLS === 0 ? k + 1 : Math.floor(((k + 0.5) * statements) / points);
        for (const when of ['before', 'after'] as const) {
          await proxy.close();
          await database.drop();
          database = await createTestDatabase();
          proxy = await startPostgresProxy(database.url);
          const killed = await killedAt(n, when);
          expect(killed.log, `log after a kill ${when} statement ${n}`).toEqual(expected.log);
          expect(killed.balances, `balances after a kill ${when} statement ${n}`).toEqual(expected.balances);
          expect(killed.journey.acknowledged, `answers after a kill ${when} statement ${n}`).toEqual(
            expected.journey.acknowledged,
          );
        }
      }
    },
    timeoutMs(600_000),
  );
});

describe('a rebuild that is killed between two of its statements', () => {
  it(
    'leaves the live read models as they were, and the next rebuild finishes',
    async () => {
      await undisturbed();
      const before = proxy.statements();
      const whole = await runTallystick(['rebuild', '--json'], environment());
      expect(whole.code, whole.stderr).toBe(0);
      const statements = proxy.statements() - before;
      expect(statements).toBeGreaterThan(20);
      const points = KILLS === 0 ? statements : KILLS * 2;
      for (let k = 0; k < points; k += 1) {
        const n = KILLS === 0 ? k + 1 : Math.floor(((k + 0.5) * statements) / points);
        let kill: () => void = () => undefined;
        proxy.strikeAt(n, k % 2 === 0 ? 'before' : 'after', () => {
          kill();
        });
        const killed = await runTallystick(['rebuild', '--json'], environment(), (how) => (kill = how));
        expect(killed.code, `rebuild killed at statement ${n}: ${killed.stdout}`).toBeNull();
        const verified = await runTallystick(['verify', '--json'], environment());
        expect(verified, `verify after a kill at statement ${n}`).toMatchObject({ code: 0 });
      }
      const last = await runTallystick(['rebuild', '--json'], environment());
      expect(last.code, last.stderr).toBe(0);
      const { rows } = await database.ownerPool.query<{ nspname: string }>(
        `SELECT nspname FROM pg_namespace WHERE nspname LIKE 'rebuild%' OR nspname LIKE 'verify%'`,
      );
      expect(rows).toEqual([]);
    },
    timeoutMs(300_000),
  );
});
