import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCommandServer, type CommandServer } from '../../../test/support/command-server.js';
import { createTestDatabase, type TestDatabase } from '../../../test/support/database.js';
import { createLedgerClient, type Answer } from '../../../test/support/ledger-client.js';
import { createSharedClaims } from '../shared-claims.js';

/** BIP84's vector as a testnet key. */
const TPUB =
  'tpubDCBWBScQPGv4Xk3JSbhw6wYYpayMjb2eAYyArpbSqQTbLDpphHGAetB6VQgVeftLML8vDSUEWcC2xDi3qJJ3YCDChJDvqVzpgoYSuT52MhJ';
/** Each round is a race; without the rule, most are lost. */
const ROUNDS = 20;

let database: TestDatabase;
/** What two processes are to each other: nothing in common but the database. */
let servers: CommandServer[];

beforeAll(async () => {
  database = await createTestDatabase();
  servers = [await startCommandServer({ database }), await startCommandServer({ database })];
});

afterAll(async () => {
  for (const server of servers) await server.close();
  await database.drop();
});

/** The same from both processes in one moment. */
async function both(path: (n: number) => string, body: (n: number) => unknown, key: string): Promise<Answer[]> {
  return await Promise.all(
    servers.map((server, n) => createLedgerClient(server.url).post(path(n), body(n), `${key}-${n}`)),
  );
}

const outcomes = (answers: readonly Answer[]): unknown[] =>
  answers.map(({ status, body }) => body['code'] ?? status).sort();

describe('two processes on one ledger', () => {
  it('make one wallet of a descriptor that both are given in the same moment', async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const descriptor = `wpkh(${TPUB}/${round}/*)`;
      const answers = await both(
        () => '/v1/wallets',
        (n) => ({ walletId: `w${round}-${n}`, descriptor }),
        `wallet-${round}`,
      );
      expect(outcomes(answers), `round ${round}`).toEqual([201, 'descriptor-in-use']);
    }
  });

  it('watch a script for one wallet that both are asked to watch in the same moment', async () => {
    for (const [n, server] of servers.entries()) {
      const made = await createLedgerClient(server.url).post(
        '/v1/wallets',
        { walletId: `by-hand-${n}` },
        `by-hand-${n}`,
      );
      expect(made.status).toBe(201);
    }
    for (let round = 0; round < ROUNDS; round += 1) {
      const script = `0014${round.toString(16).padStart(40, '0')}`;
      const answers = await both(
        (n) => `/v1/wallets/by-hand-${n}/scripts`,
        () => ({ script }),
        `script-${round}`,
      );
      expect(outcomes(answers), `round ${round}`).toEqual([201, 'script-already-watched']);
    }
  });
});

describe('claims', () => {
  it('hold no connection when nobody claims, and are free again after a failure', async () => {
    const exclusively = createSharedClaims(database.pool);
    const busyBefore = database.pool.totalCount - database.pool.idleCount;
    await expect(exclusively('k', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(database.pool.totalCount - database.pool.idleCount).toBe(busyBefore);
    expect(await createSharedClaims(database.pool)('k', () => Promise.resolve('got it'))).toBe('got it');
  });

  it('go on when the session that holds them is ended', async () => {
    const exclusively = createSharedClaims(database.pool);
    const kill = async (): Promise<void> => {
      await database.ownerPool.query(
        `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1
           AND (classid::bigint << 32) | objid::bigint = hashtextextended('k2', 0)`,
      );
    };
    await expect(exclusively('k2', kill)).rejects.toThrow('claims of scripts and descriptors');
    expect(await exclusively('k2', () => Promise.resolve('got it'))).toBe('got it');
  });
});
