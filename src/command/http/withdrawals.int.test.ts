import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCommandServer, deposit, type CommandServer } from '../../../test/support/command-server.js';
import { createTestDatabase, type TestDatabase } from '../../../test/support/database.js';
import { createLedgerClient, type Answer, type LedgerClient } from '../../../test/support/ledger-client.js';
import { tellPayout } from '../../../test/support/tell-payout.js';
import type { FundsReserved } from '../../domain/events/withdrawal-events.js';
import { PROBLEM_CODES, type ProblemCode } from '../../platform/http/problem-codes.js';
import { COMMAND_PARTS, type CommandParts } from '../command-parts.js';
import { createLedgerCommands, type LedgerCommands } from '../ledger-commands.js';

const TPUB =
  'tpubDC5FSnBiZDMmhiuCmWAYsLwgLYrrT9rAqvTySfuCCrgsWz8wxMXUS9Tb9iVMvcRbvFcAHGkMD5Kx8koh4GquNGNTfohfk7pgjhaPCdXpoba';
/** Regtest addresses of each type: p2wpkh, p2tr, p2pkh, p2sh, and a witness version to come (BIP350, version 2). */
const WPKH = 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080';
const WSH = 'bcrt1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qzf4jry';

const path = '/v1/withdrawals';
let database: TestDatabase;
let server: CommandServer;
let client: LedgerClient;
let commands: LedgerCommands;
let keys = 0;
const key = (): string => `key-${++keys}`;
const post = (to: string, body: unknown, withKey = key()): Promise<Answer> => client.post(to, body, withKey);

beforeAll(async () => {
  database = await createTestDatabase();
  server = await startCommandServer({
    database,
    rules: { maxSats: 500_000n, defaultWalletId: undefined, maxFeeRateSatsPerVbyte: 100 },
  });
  client = createLedgerClient(server.url);
  commands = createLedgerCommands(server.app.get<CommandParts>(COMMAND_PARTS, { strict: false }));
  for (const accountId of ['alice', 'poor', 'busy', 'crowd', 'life']) await post('/v1/accounts', { accountId });
  await post('/v1/wallets', { walletId: 'byhand' });
  expect((await post('/v1/wallets', { walletId: 'hot', descriptor: `wpkh(${TPUB}/<0;1>/*)` })).status).toBe(201);
  await deposit(server.store, 'main', { alice: 3_000_000n, busy: 10_000n, crowd: 10_000n, life: 3_000_000n });
});

afterAll(async () => {
  await server.close();
  await database.drop();
});

const withdrawal = (change: object = {}): object => ({
  accountId: 'alice',
  address: WPKH,
  amountSats: '10000',
  ...change,
});

function expectProblem(answer: Answer, code: ProblemCode, at: string): void {
  const { status, title } = PROBLEM_CODES[code];
  expect(answer.body).toMatchObject({ type: `/problems/${code}`, title, status, code, instance: at });
  expect(answer.status).toBe(status);
  expect(answer.body['detail']).toMatch(/^[A-Z0-9].*\.$/s);
}

describe('POST /v1/withdrawals', () => {
  it('sets the money aside', async () => {
    const answer = await post(path, withdrawal({ withdrawalId: 'first', maxFeeSats: '500', confirmationTarget: 3 }));
    const head = (await server.outbox.head()).toString();
    expect(answer.body).toEqual({ withdrawalId: 'first', status: 'requested', position: head });
    expect(answer.status).toBe(202);
    expect(answer.headers.get('location')).toBe('/v1/withdrawals/first');
    expect(answer.headers.get('ledger-position')).toBe(head);
    const [event] = await server.outbox.read(BigInt(head) - 1n, 1);
    expect(event).toMatchObject({
      type: 'FundsReserved',
      stream: 'account-alice',
      data: {
        walletId: 'hot',
        script: '0014751e76e8199196d454941c45d1b3a323f1433bd6',
        amountSats: '10000',
        maxFeeSats: '500',
        confirmationTarget: 3,
        postings: [
          { book: 'account:alice', amountSats: '10500' },
          { book: 'reserved:alice', amountSats: '-10500' },
        ],
      },
    });
  });

  it('makes an id of the key where none is given, and keeps several to one address apart', async () => {
    const [one, two] = [await post(path, withdrawal()), await post(path, withdrawal())];
    expect([one?.status, two?.status]).toEqual([202, 202]);
    expect(one?.body['withdrawalId']).toMatch(/^[0-9a-f-]{36}$/);
    expect(two?.body['withdrawalId']).not.toBe(one?.body['withdrawalId']);
  });

  it('gives the first outcome again: the same answer for the same request, refusals included', async () => {
    const request = withdrawal({ withdrawalId: 'again', amountSats: '5000' });
    const first = await post(path, request, 'again-key');
    const head = await server.outbox.head();
    const second = await post(path, request, 'again-key');
    expect(second.body).toEqual(first.body);
    expect(second.status).toBe(202);
    expect(second.headers.get('location')).toBe('/v1/withdrawals/again');
    expect(second.headers.get('idempotency-replayed')).toBe('true');
    expectProblem(await post(path, withdrawal({ amountSats: '5001' }), 'again-key'), 'idempotency-key-reused', path);
    const refused = await post(path, withdrawal({ accountId: 'poor' }), 'poor-key');
    expectProblem(refused, 'insufficient-funds', path);
    const refusedAgain = await post(path, withdrawal({ accountId: 'poor' }), 'poor-key');
    expectProblem(refusedAgain, 'insufficient-funds', path);
    expect(refusedAgain.headers.get('idempotency-replayed')).toBe('true');
    expect(await server.outbox.head()).toBe(head);
  });

  it.each<[ProblemCode, object]>([
    ['account-not-found', { accountId: 'nobody' }],
    ['wallet-not-found', { walletId: 'nothing' }],
    ['wallet-has-no-descriptor', { walletId: 'byhand' }],
    ['withdrawal-exists', { withdrawalId: 'first' }],
    ['withdrawal-exists', { withdrawalId: 'first', accountId: 'busy', amountSats: '1000' }],
    ['address-invalid', { address: 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4' }],
    ['address-invalid', { address: `${WPKH}x` }],
    ['address-invalid', { address: 'not an address' }],
    ['amount-invalid', { amountSats: '0' }],
    ['amount-invalid', { amountSats: '-1' }],
    ['amount-invalid', { amountSats: '2100000000000001' }],
    ['amount-invalid', { maxFeeSats: '-1' }],
    ['amount-dust', { amountSats: '293' }],
    ['amount-dust', { amountSats: '329', address: WSH }],
    ['amount-too-large', { amountSats: '500001' }],
    ['insufficient-funds', { accountId: 'poor' }],
    ['insufficient-funds', { accountId: 'busy', amountSats: '10000', maxFeeSats: '1' }],
  ])('refuses: %s %o', async (code, change) => {
    const head = await server.outbox.head();
    expectProblem(await post(path, withdrawal(change)), code, path);
    expect(await server.outbox.head()).toBe(head);
  });

  it.each([
    [WPKH, '294'],
    [WSH, '330'],
    ['bcrt1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7k0ylj56', '500'],
    ['mrCDrCybB6J1vRfbwM5hemdJz73FwDBC8r', '546'],
    ['2N2JD6wb56AfK4tfmM6PwdVmoYk2dCKf4Br', '540'],
  ])('pays to every type of address, from its own dust bound on: %s', async (address, amountSats) => {
    expect((await post(path, withdrawal({ address, amountSats }))).body).toMatchObject({ status: 'requested' });
  });

  it.each<[string, object, string[]]>([
    ['nothing', {}, ['/accountId', '/address', '/amountSats']],
    ['an unknown field', withdrawal({ fee: '1' }), ['/fee']],
    ['a number for an amount', withdrawal({ amountSats: 5 }), ['/amountSats']],
    ['a fraction', withdrawal({ amountSats: '1.5' }), ['/amountSats']],
    ['a number for a fee', withdrawal({ maxFeeSats: 1 }), ['/maxFeeSats']],
    ['no address', withdrawal({ address: '' }), ['/address']],
    ['a long address', withdrawal({ address: 'b'.repeat(201) }), ['/address']],
    ['an address of another kind', withdrawal({ address: 7 }), ['/address']],
    ['an odd id', withdrawal({ withdrawalId: 'a/b' }), ['/withdrawalId']],
    ['a long id', withdrawal({ withdrawalId: 'a'.repeat(65) }), ['/withdrawalId']],
    ['an odd account', withdrawal({ accountId: '' }), ['/accountId']],
    ['an odd wallet', withdrawal({ walletId: null }), ['/walletId']],
    ['target 0', withdrawal({ confirmationTarget: 0 }), ['/confirmationTarget']],
    ['target 1009', withdrawal({ confirmationTarget: 1_009 }), ['/confirmationTarget']],
    ['target 1.5', withdrawal({ confirmationTarget: 1.5 }), ['/confirmationTarget']],
  ])('does not take %s', async (_what, body, pointers) => {
    const head = await server.outbox.head();
    const answer = await post(path, body);
    expectProblem(answer, 'validation-failed', path);
    expect((answer.body['errors'] as { pointer: string }[]).map(({ pointer }) => pointer)).toEqual(pointers);
    expect(await server.outbox.head()).toBe(head);
  });

  it('needs a key', async () => {
    expectProblem(await client.post(path, withdrawal()), 'idempotency-key-missing', path);
  });

  it('from a hundred clients with one key is one reservation', async () => {
    const body = withdrawal({ accountId: 'crowd', amountSats: '600' });
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => createLedgerClient(server.url).post(path, body, 'crowd-key')),
    );
    for (const answer of answers) {
      if (answer.status !== 202) expectProblem(answer, 'idempotency-key-in-use', path);
    }
    const done = answers.filter(({ status }) => status === 202);
    expect(new Set(done.map(({ body: { withdrawalId } }) => withdrawalId)).size).toBe(1);
    const events = await server.store.readStream('account-crowd', 0n, 1_000);
    expect(events.filter(({ type }) => type === 'FundsReserved')).toHaveLength(1);
  });

  it('with one id from a hundred clients with keys and accounts of their own is one withdrawal', async () => {
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, n) =>
        post(path, withdrawal({ withdrawalId: 'claimed', accountId: n % 2 ? 'alice' : 'life', amountSats: '400' })),
      ),
    );
    expect(answers.filter(({ status }) => status === 202)).toHaveLength(1);
    for (const answer of answers) if (answer.status !== 202) expectProblem(answer, 'withdrawal-exists', path);
  });

  it('with one id through two processes at the same moment is one withdrawal, and disturbs no other command', async () => {
    const other = await startCommandServer({ database });
    try {
      const there = createLedgerClient(other.url);
      const answers = await Promise.all(
        Array.from({ length: 60 }, async (_, n) => {
          const withdrawalId = `both-${n}`;
          const body = (accountId: string): object => withdrawal({ withdrawalId, accountId, amountSats: '300' });
          const [one, two, bystander] = await Promise.all([
            post(path, body('alice')),
            there.post(path, body('life'), key()),
            there.post('/v1/accounts', { accountId: `bystander-${n}` }, key()),
          ]);
          return { both: [one, two], bystander };
        }),
      );
      for (const { both, bystander } of answers) {
        expect(both.map(({ status }) => status).sort()).toEqual([202, 409]);
        for (const answer of both) if (answer.status !== 202) expectProblem(answer, 'withdrawal-exists', path);
        expect(bystander.status).toBe(201);
      }
    } finally {
      await other.close();
    }
  });

  it('never overspends: two hundred at once on one account, with fees and transfers among them', async () => {
    await Promise.all(
      Array.from({ length: 200 }, (_, n) =>
        n % 10 === 0
          ? post('/v1/transfers', { fromAccountId: 'busy', toAccountId: 'poor', amountSats: '300' })
          : post(path, withdrawal({ accountId: 'busy', amountSats: '300', maxFeeSats: '20' })),
      ),
    );
    const events = await server.store.readStream('account-busy', 0n, 1_000);
    const taken = events.reduce((sum, { type, data }) => {
      const { amountSats = '0', maxFeeSats } = data as Partial<FundsReserved>;
      if (type === 'FundsReserved') return sum + BigInt(amountSats) + BigInt(maxFeeSats ?? 0);
      return type === 'TransferSent' ? sum + BigInt(amountSats) : sum;
    }, 0n);
    expect(taken).toBeLessThanOrEqual(10_000n);
    // And all that there was is used: less than one more would need is left.
    expect(taken).toBeGreaterThan(10_000n - 320n);
  });
});

describe('which wallet pays', () => {
  it('has to be said where there are several, unless one is configured', async () => {
    const other = await createTestDatabase();
    const several = await startCommandServer({ database: other });
    try {
      const own = createLedgerClient(several.url);
      await own.post('/v1/accounts', { accountId: 'alice' }, 'a');
      await deposit(several.store, 'main', { alice: 100_000n });
      expectProblem(await own.post(path, withdrawal(), 'none'), 'wallet-not-chosen', path);
      for (const n of [1, 2]) {
        await own.post('/v1/wallets', { walletId: `w${n}`, descriptor: `wpkh(${TPUB}/${n}/*)` }, `w${n}`);
        const expected = n === 1 ? 202 : 422;
        expect((await own.post(path, withdrawal(), `with-${n}`)).status).toBe(expected);
      }
      expectProblem(await own.post(path, withdrawal(), 'two'), 'wallet-not-chosen', path);
      expect((await own.post(path, withdrawal({ walletId: 'w2' }), 'named')).status).toBe(202);
      const rules = { maxSats: 500_000n, defaultWalletId: 'w2', maxFeeRateSatsPerVbyte: 100 };
      const configured = await startCommandServer({ database: other, rules });
      try {
        const answer = await createLedgerClient(configured.url).post(path, withdrawal(), 'configured');
        const [event] = await configured.outbox.read(BigInt(String(answer.body['position'])) - 1n, 1);
        expect(event?.data).toMatchObject({ walletId: 'w2' });
      } finally {
        await configured.close();
      }
    } finally {
      await several.close();
      await other.drop();
    }
  });
});

describe('POST /v1/withdrawals/{id}/cancel', () => {
  let n = 0;
  /** A withdrawal that was asked for; what was reserved before it. */
  async function requested(): Promise<string> {
    const withdrawalId = `life-${++n}`;
    const answer = await post(path, withdrawal({ withdrawalId, accountId: 'life', maxFeeSats: '100' }));
    expect(answer.status).toBe(202);
    return withdrawalId;
  }
  const cancel = (id: string, body: object = {}, withKey = key()): Promise<Answer> =>
    post(`${path}/${id}/cancel`, body, withKey);
  const reserved = async (id: string): Promise<boolean> => {
    const { reservations } = await server.app
      .get<CommandParts>(COMMAND_PARTS, { strict: false })
      .accounts.read('account-life');
    return reservations.has(id);
  };

  it('gives the money back at once, and says so the same each time', async () => {
    const id = await requested();
    const answer = await cancel(id, { reason: 'changed my mind' }, 'cancel-key');
    const head = (await server.outbox.head()).toString();
    expect(answer.body).toEqual({ withdrawalId: id, status: 'cancelled', position: head });
    expect(answer.status).toBe(202);
    expect(await reserved(id)).toBe(false);
    const again = await cancel(id, { reason: 'changed my mind' }, 'cancel-key');
    expect(again.body).toEqual(answer.body);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    // Also from a process that remembers nothing.
    const other = await startCommandServer({ database });
    try {
      const replayed = await createLedgerClient(other.url).post(
        `${path}/${id}/cancel`,
        { reason: 'changed my mind' },
        'cancel-key',
      );
      expect(replayed.body).toEqual(answer.body);
    } finally {
      await other.close();
    }
    expect((await server.outbox.head()).toString()).toBe(head);
    const types = (await server.outbox.read(BigInt(head) - 2n, 2)).map(({ type }) => type);
    expect(types).toEqual(['WithdrawalCancelled', 'FundsReleased']);
  });

  it('takes it out of a payout that is not signed', async () => {
    const [id, other] = [await requested(), await requested()];
    const payout = await tellPayout(commands, server, { payoutId: 'cancel-1', walletId: 'hot', ids: [id, other] });
    await payout.prepare();
    const answer = await cancel(id);
    expect(answer.body).toMatchObject({ withdrawalId: id, status: 'cancelled' });
    expect(answer.body['position']).toBe((await server.outbox.head()).toString());
    expect(await reserved(id)).toBe(false);
    expect(await commands.payoutState('cancel-1')).toMatchObject({ phase: 'started', removed: [id] });
    expect((await cancel(other)).status).toBe(202);
    expect(await commands.payoutState('cancel-1')).toMatchObject({ phase: 'cancelled' });
  });

  it('is too late once it is signed', async () => {
    const id = await requested();
    const payout = await tellPayout(commands, server, { payoutId: 'cancel-2', walletId: 'hot', ids: [id] });
    await payout.prepare();
    await payout.sign();
    const answer = await cancel(id, {}, 'too-late');
    expectProblem(answer, 'withdrawal-not-cancellable', `${path}/${id}/cancel`);
    expect(await reserved(id)).toBe(true);
    const again = await cancel(id, {}, 'too-late');
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(again.status).toBe(409);
  });

  it('is refused for one that is not there, or over', async () => {
    expectProblem(await cancel('nothing'), 'withdrawal-not-found', `${path}/nothing/cancel`);
    const id = await requested();
    expect((await cancel(id)).status).toBe(202);
    expectProblem(await cancel(id), 'withdrawal-not-cancellable', `${path}/${id}/cancel`);
  });

  it('from a hundred clients gives the money back once', async () => {
    const id = await requested();
    const answers = await Promise.all(Array.from({ length: 100 }, () => cancel(id)));
    expect(answers.some(({ status }) => status === 202)).toBe(true);
    const events = await server.store.readStream('account-life', 0n, 10_000);
    const released = events.filter(
      ({ type, data }) => type === 'FundsReleased' && (data as { withdrawalId: string }).withdrawalId === id,
    );
    expect(released).toHaveLength(1);
  });

  it('finishes what a process that died had only decided', async () => {
    const id = await requested();
    await commands.cancelWithdrawal({ withdrawalId: id, accountId: 'life', reason: null });
    expect(await reserved(id)).toBe(true);
    // The decision stands; whoever tells the rest next, it is done.
    await commands.releaseFunds({ withdrawalId: id, accountId: 'life', reason: 'cancelled' });
    expect(await reserved(id)).toBe(false);
  });

  it('against signing has exactly one winner', async () => {
    for (let round = 0; round < 6; round++) {
      const id = await requested();
      const payout = await tellPayout(commands, server, { payoutId: `race-${round}`, walletId: 'hot', ids: [id] });
      await payout.prepare();
      const [answer, signed] = await Promise.all([cancel(id), payout.trySign()]);
      expect([answer.status === 202, signed].filter(Boolean)).toHaveLength(1);
      expect(await reserved(id)).toBe(signed);
    }
  });

  it.each<[string, object, string]>([
    ['an unknown field', { force: true }, '/force'],
    ['a long reason', { reason: 'x'.repeat(501) }, '/reason'],
    ['a reason that cannot be kept', { reason: 'a\u0000b' }, '/reason'],
    ['a number', { reason: 5 }, '/reason'],
  ])('does not take %s', async (_what, body, pointer) => {
    const answer = await cancel('first', body);
    expectProblem(answer, 'validation-failed', `${path}/first/cancel`);
    expect((answer.body['errors'] as { pointer: string }[]).map((error) => error.pointer)).toEqual([pointer]);
  });
});

describe('POST /v1/withdrawals/{id}/bump', () => {
  const bump = (id: string, body: object = {}, withKey = key()): Promise<Answer> =>
    post(`${path}/${id}/bump`, body, withKey);

  it('asks for a higher fee once it is signed', async () => {
    await post(path, withdrawal({ withdrawalId: 'slow', accountId: 'life' }));
    expectProblem(await bump('slow'), 'withdrawal-not-bumpable', `${path}/slow/bump`);
    const payout = await tellPayout(commands, server, { payoutId: 'bumped', walletId: 'hot', ids: ['slow'] });
    await payout.prepare();
    expectProblem(await bump('slow'), 'withdrawal-not-bumpable', `${path}/slow/bump`);
    await payout.sign();
    const answer = await bump('slow', { feeRateSatsPerVbyte: 12.345 }, 'bump-key');
    const head = (await server.outbox.head()).toString();
    expect(answer.body).toEqual({ withdrawalId: 'slow', payoutId: 'bumped', status: 'signed', position: head });
    expect(answer.status).toBe(202);
    expect((await commands.payoutState('bumped')).bump).toEqual({ withdrawalId: 'slow', feeRateSatsPerKvb: '12345' });
    expect((await bump('slow', { feeRateSatsPerVbyte: 12.345 }, 'bump-key')).body).toEqual(answer.body);
    expectProblem(await bump('slow', {}, 'bump-key'), 'idempotency-key-reused', `${path}/slow/bump`);
    await commands.recordOffer({ payoutId: 'bumped', txid: payout.txid, answer: 'accepted', detail: '' });
    expect((await bump('slow')).body).toMatchObject({ status: 'broadcast' });
    expect((await commands.payoutState('bumped')).bump?.feeRateSatsPerKvb).toBeNull();
    await commands.settlePayout({ payoutId: 'bumped', txid: payout.txid });
    expectProblem(await bump('slow'), 'withdrawal-not-bumpable', `${path}/slow/bump`);
  });

  it.each<[ProblemCode, string, object]>([
    ['withdrawal-not-found', 'nothing', {}],
    ['fee-rate-too-high', 'slow', { feeRateSatsPerVbyte: 101 }],
    ['validation-failed', 'slow', { feeRateSatsPerVbyte: 0 }],
    ['validation-failed', 'slow', { feeRateSatsPerVbyte: '5' }],
    ['validation-failed', 'slow', { feeRate: 5 }],
  ])('refuses: %s %s %o', async (code, id, body) => {
    expectProblem(await bump(id, body), code, `${path}/${id}/bump`);
  });
});
