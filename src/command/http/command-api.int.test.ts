import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../../test/support/database.js';
import { deposit, startCommandServer, type CommandServer } from '../../../test/support/command-server.js';
import { createLedgerClient, type LedgerClient } from '../../../test/support/ledger-client.js';

let database: TestDatabase;
let server: CommandServer;
let client: LedgerClient;
let keys = 0;
const key = (): string => `key-${++keys}`;

beforeAll(async () => {
  database = await createTestDatabase();
  server = await startCommandServer({ database });
  client = createLedgerClient(server.url);
});

afterAll(async () => {
  await server.close();
  await database.drop();
});

describe('POST /v1/accounts', () => {
  it('opens an account and says at which position', async () => {
    const answer = await client.post('/v1/accounts', { accountId: 'alice', metadata: { tier: 'gold', n: 1.5 } }, key());
    const head = await server.outbox.head();
    expect(answer).toMatchObject({ status: 201, body: { accountId: 'alice', position: head.toString() } });
    expect(answer.headers.get('ledger-position')).toBe(head.toString());
    expect(answer.headers.get('idempotency-replayed')).toBeNull();
  });
});
