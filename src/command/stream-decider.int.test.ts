import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startCommandServer, deposit, type CommandServer } from '../../test/support/command-server.js';
import { createTestDatabase, type TestDatabase } from '../../test/support/database.js';
import { createLedgerClient, type Answer } from '../../test/support/ledger-client.js';
import type { AppendRequest, EventStore } from '../eventstore/event-store.js';
import { FatalError, RetryableError } from '../platform/errors.js';

/**
 * Decisions that build on appends under way: each test holds or breaks one append and looks at what becomes of those that
 * were decided upon it.
 */
let database: TestDatabase;
let server: CommandServer;
/** Appends as they reach the store. */
let submitted: AppendRequest[] = [];
/** By idempotency key: runs before the append reaches the store; a throw keeps it from there. */
const gates = new Map<string, () => Promise<void>>();

function withGates(store: EventStore): EventStore {
  return {
    ...store,
    append: async (request) => {
      submitted.push(request);
      await gates.get(request.idempotency?.key ?? '')?.();
      return await store.append(request);
    },
  };
}

beforeAll(async () => {
  database = await createTestDatabase();
  server = await startCommandServer({ database, wrapStore: withGates });
  await post('/v1/accounts', { accountId: 'sink' }, 'sink');
});

afterAll(async () => {
  await server.close();
  await database.drop();
});

let account = '';
let accounts = 0;
beforeEach(async () => {
  account = `a${++accounts}`;
  await post('/v1/accounts', { accountId: account }, `open-${account}`);
  await deposit(server.store, 'main', { [account]: 10n });
  submitted = [];
  gates.clear();
});

function post(path: string, body: unknown, key: string): Promise<Answer> {
  return createLedgerClient(server.url).post(path, body, key);
}

const send = (amount: number, key: string, from = account): Promise<Answer> =>
  post('/v1/transfers', { fromAccountId: from, toAccountId: 'sink', amountSats: String(amount) }, key);

interface Gate {
  reached: Promise<void>;
  open: (failure?: Error) => void;
}

function gateAt(key: string): Gate {
  let open: (failure?: Error) => void = () => undefined;
  const opened = new Promise<void>((resolve, reject) => {
    open = (failure) => {
      if (failure === undefined) resolve();
      else reject(failure);
    };
  });
  let arrive = (): void => undefined;
  const reached = new Promise<void>((resolve) => (arrive = resolve));
  gates.set(key, () => {
    arrive();
    return opened;
  });
  return { reached, open };
}

const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
};

describe('decisions on one stream', () => {
  it('are submitted without waiting for the commit of the one before', async () => {
    // Both are held before the store, so the second was decided while the first was not committed.
    const [first, second] = [gateAt('p1'), gateAt('p2')];
    const answers = [send(4, 'p1')];
    await first.reached;
    answers.push(send(4, 'p2'));
    await second.reached;
    expect(submitted.map(({ expectedRevision }) => expectedRevision)).toEqual([0n, 1n]);
    first.open();
    await answers[0];
    second.open();
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([201, 201]);
  });

  it('are made again when what they were built on did not happen', async () => {
    const first = gateAt('f1');
    const second = gateAt('f2');
    const failing = send(4, 'f1');
    await first.reached;
    const dependant = send(5, 'f2');
    await second.reached;
    first.open(new FatalError('the first one never reached the log'));
    expect((await failing).status).toBe(500);
    gates.clear();
    second.open();
    const answer = await dependant;
    expect(answer.status).toBe(201);
    // Submitted upon revision 1, which never came to be; then upon what is there.
    expect(
      submitted.filter(({ idempotency }) => idempotency?.key === 'f2').map((request) => request.expectedRevision),
    ).toEqual([1n, 0n]);
    expect((await send(5, 'f3')).status).toBe(201);
    expect((await send(1, 'f4')).body).toMatchObject({ code: 'insufficient-funds' });
  });

  it('do not refuse for money that an append under way would take, until it has', async () => {
    const first = gateAt('m1');
    const taking = send(10, 'm1');
    await first.reached;
    let settled = false;
    const waiting = send(10, 'm2').finally(() => (settled = true));
    // Nothing can be said yet: wait long enough for a wrong answer to show.
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(settled).toBe(false);
    first.open(new FatalError('the first one never reached the log'));
    expect((await taking).status).toBe(500);
    expect((await waiting).status).toBe(201);
  });

  it('refuse once the append that took the money is in', async () => {
    const first = gateAt('n1');
    const taking = send(10, 'n1');
    await first.reached;
    const waiting = send(10, 'n2');
    first.open();
    expect((await taking).status).toBe(201);
    expect((await waiting).body).toMatchObject({ code: 'insufficient-funds' });
  });

  it('go on after a crowd of repetitions of old keys, each of which breaks a chain', async () => {
    const done = await Promise.all(Array.from({ length: 5 }, (_, n) => send(1, `old-${account}-${n}`)));
    expect(done.map(({ status }) => status)).toEqual([201, 201, 201, 201, 201]);
    // Another process, which remembers nothing: the store is what knows the keys.
    const other = await startCommandServer({ database });
    try {
      const client = createLedgerClient(other.url);
      const transfer = (amountSats: string): object => ({ fromAccountId: account, toAccountId: 'sink', amountSats });
      const answers = await Promise.all([
        ...Array.from({ length: 40 }, (_, n) => client.post('/v1/transfers', transfer('1'), `old-${account}-${n % 5}`)),
        ...Array.from({ length: 5 }, (_, n) => client.post('/v1/transfers', transfer('1'), `new-${account}-${n}`)),
      ]);
      const fresh = answers.slice(40);
      expect(fresh.map(({ status }) => status)).toEqual([201, 201, 201, 201, 201]);
      for (const { status, body, headers } of answers.slice(0, 40)) {
        if (status === 201) expect(headers.get('idempotency-replayed')).toBe('true');
        else expect(body).toMatchObject({ code: 'idempotency-key-in-use' });
      }
    } finally {
      await other.close();
    }
    expect((await send(1, `empty-${account}`)).body).toMatchObject({ code: 'insufficient-funds' });
  });

  it('find what another process wrote before they refuse', async () => {
    expect((await send(3, `x-${account}`)).status).toBe(201);
    const other = await startCommandServer({ database });
    try {
      const client = createLedgerClient(other.url);
      await client.post('/v1/accounts', { accountId: `${account}-2` }, `open2-${account}`);
      const transfer = { fromAccountId: account, toAccountId: 'sink', amountSats: '7' };
      expect((await client.post('/v1/transfers', transfer, `y-${account}`)).status).toBe(201);
      const refused = await send(7, `z-${account}`);
      expect(refused.body).toMatchObject({
        code: 'insufficient-funds',
        detail: `Account '${account}' has 0 satoshis available.`,
      });
      // The account that the other one opened is known here, too.
      expect((await post('/v1/accounts', { accountId: `${account}-2` }, `open3-${account}`)).body).toMatchObject({
        code: 'account-exists',
      });
    } finally {
      await other.close();
    }
  });

  it('survive a store that is away for a moment in the middle of a crowd', async () => {
    let failures = 3;
    for (let n = 0; n < 10; n++) {
      gates.set(`g-${account}-${n}`, () => {
        if (failures-- > 0) throw new RetryableError('connection refused');
        return Promise.resolve();
      });
    }
    const answers = await Promise.all(Array.from({ length: 10 }, (_, n) => send(1, `g-${account}-${n}`)));
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 10 }, () => 201));
    await until(() => failures <= 0);
    expect((await send(1, `h-${account}`)).body).toMatchObject({ code: 'insufficient-funds' });
  });
});
