import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/support/database.js';
import { hashOf, paid, planOf, prepared, signedForm, startedWith } from '../../test/support/payout-cases.js';
import { accountStream } from '../domain/account/account-state.js';
import { reserveFunds } from '../domain/account/reserve-funds.js';
import type { DomainEvent } from '../domain/events/event-types.js';
import type { PaidWithdrawal, PlannedTransaction } from '../domain/events/payout-events.js';
import { newEvents, withdrawalEventId } from '../domain/new-event.js';
import { isRejection } from '../domain/rejection.js';
import type { AppendRequest, EventStore, RecordedEvent } from '../eventstore/event-store.js';
import { createPostgresEventStore } from '../eventstore/postgres-event-store.js';
import { createPostgresOutbox } from '../outbox/postgres-outbox.js';
import { InvariantError } from '../platform/assert.js';
import { RetryableError } from '../platform/errors.js';
import { createCommandParts, type CommandParts } from './command-parts.js';
import { createLedgerCommands, type LedgerCommands } from './ledger-commands.js';
import { createPostgresCommandLog } from './postgres-command-log.js';

let database: TestDatabase;
let store: EventStore;
let commands: LedgerCommands;
let parts: CommandParts;
/** Runs after an append is durable, before it is acknowledged. */
let afterAppend: (request: AppendRequest) => void = () => undefined;

const neverAsked = (): never => {
  throw new Error('no read model is asked');
};

function freshParts(): CommandParts {
  const outbox = createPostgresOutbox({ pool: database.pool, ledger: 'main' });
  return createCommandParts({
    ledger: 'main',
    network: 'regtest',
    store: {
      ...store,
      append: async (request) => {
        const result = await store.append(request);
        afterAppend(request);
        return result;
      },
    },
    reads: {
      credits: neverAsked,
      scriptOwners: neverAsked,
      walletWithDescriptor: neverAsked,
      walletsWithDescriptor: neverAsked,
      waitFor: neverAsked,
    },
    log: createPostgresCommandLog({ pool: database.pool, outbox }),
    keys: { ensure: neverAsked },
    sleep: () => Promise.resolve(),
  });
}

beforeAll(async () => {
  database = await createTestDatabase();
  store = createPostgresEventStore({ pool: database.pool, ledger: 'main' });
});

afterAll(async () => {
  await store.close();
  await database.drop();
});

/** A payout of two withdrawals of accounts of their own, with a wallet of its own. */
let n = 0;
let [A, B] = [paid(1), paid(2)];
let payoutId = '';
let walletId = '';
let coins: number[] = [];
let plan: PlannedTransaction;
let txid = '';

beforeEach(async () => {
  afterAppend = () => undefined;
  n += 1;
  [A, B] = [paid(n * 10 + 1), paid(n * 10 + 2, { maxFeeSats: null })];
  [payoutId, walletId, txid] = [`p${n}`, `hot${n}`, hashOf(n * 1_000)];
  coins = [n * 10 + 1, n * 10 + 2];
  plan = planOf(coins, [A, B], { fee: 400n });
  parts = freshParts();
  commands = createLedgerCommands(parts);
  await append(`wallet-${walletId}`, [
    {
      type: 'WalletCreated',
      data: { walletId, network: 'regtest', descriptor: 'd', changeDescriptor: 'c', gapLimit: 20, signer: 'local' },
    },
  ]);
  for (const withdrawal of [A, B]) await requested(withdrawal);
});

async function append(stream: string, events: readonly DomainEvent[]): Promise<void> {
  const result = await store.append({
    stream,
    expectedRevision: 'no-stream',
    events: newEvents(events, { ledger: 'main', key: `given-${stream}`, metadata: {} }),
  });
  expect(result.kind).toBe('appended');
}

async function requested({
  withdrawalId,
  accountId,
  address,
  script,
  amountSats,
  maxFeeSats,
}: PaidWithdrawal): Promise<void> {
  const opened: DomainEvent = { type: 'AccountOpened', data: { accountId, metadata: {} } };
  const state = parts.accounts.evolve({ ...(await parts.accounts.read(accountStream(accountId))) }, opened);
  const reserved = reserveFunds(
    {
      withdrawalId,
      accountId,
      walletId,
      address,
      script,
      amountSats: BigInt(amountSats),
      maxFeeSats: maxFeeSats === null ? null : BigInt(maxFeeSats),
      confirmationTarget: 6,
    },
    state,
    { creditsSats: 1_000_000n, withdrawalExists: false, dustSats: 0n, maxSats: 1_000_000n },
  );
  if (isRejection(reserved)) throw new Error(reserved.detail);
  await append(accountStream(accountId), [opened, ...reserved]);
}

async function done(telling: Promise<object>): Promise<void> {
  expect(await telling).toMatchObject({ kind: 'done' });
}

const forPayout = <T extends object>(data: T): T & { payoutId: string } => ({ ...data, payoutId });
const start = (): ReturnType<LedgerCommands['startPayout']> =>
  commands.startPayout(startedWith([A, B], { payoutId, walletId }));
const assign = ({ withdrawalId }: PaidWithdrawal): ReturnType<LedgerCommands['assignWithdrawal']> =>
  commands.assignWithdrawal({ withdrawalId, payoutId });
const reserve = (): ReturnType<LedgerCommands['reserveCoins']> =>
  commands.reserveCoins({
    walletId,
    payoutId,
    coins: coins.map((coin) => ({ outpoint: `${hashOf(coin)}:0`, amountSats: 100_000n })),
    change: { branch: 1, index: 0, script: '51', address: 'change' },
  });
const prepare = (): ReturnType<LedgerCommands['prepareCandidate']> =>
  commands.prepareCandidate(forPayout(prepared(0, plan)));
const sign = (): ReturnType<LedgerCommands['recordSigned']> =>
  commands.recordSigned(forPayout(signedForm(0, plan, txid)));

async function untilPrepared(): Promise<void> {
  await done(start());
  for (const withdrawal of [A, B]) await done(assign(withdrawal));
  await done(reserve());
  await done(prepare());
}

async function untilSettled(): Promise<void> {
  await untilPrepared();
  await done(sign());
  await done(commands.recordOffer({ payoutId, txid, answer: 'accepted', detail: '' }));
  await done(commands.settlePayout({ payoutId, txid }));
}

const settle = (
  { withdrawalId, accountId }: PaidWithdrawal,
  feeSats: bigint,
): ReturnType<LedgerCommands['settleWithdrawal']> =>
  commands.settleWithdrawal({ withdrawalId, accountId, payoutId, txid, amountSats: 10_000n, feeSats });

const release = ({ withdrawalId, accountId }: PaidWithdrawal): ReturnType<LedgerCommands['releaseFunds']> =>
  commands.releaseFunds({ withdrawalId, accountId, reason: 'cancelled' });

describe('the life of a payout, told step by step', () => {
  it('goes from start to close, and each step told again changes nothing', async () => {
    const steps: (() => Promise<object>)[] = [
      start,
      () => assign(A),
      () => assign(B),
      reserve,
      prepare,
      sign,
      () => commands.recordOffer({ payoutId, txid, answer: 'accepted', detail: '' }),
      () => commands.settlePayout({ payoutId, txid }),
      () => settle(A, 200n),
      () => settle(B, 0n),
      () => commands.closePayout({ payoutId, txid, childTxids: [] }),
      () => commands.releaseCoins({ walletId, payoutId, outpoints: undefined, reason: 'spent' }),
    ];
    for (const [at, step] of steps.entries()) {
      await done(step());
      // Also by a process that remembers nothing.
      if (at % 2 === 0) commands = createLedgerCommands(freshParts());
      const before = await parts.store.readStream(`payout-${payoutId}`, 0n, 100);
      expect(await step()).toMatchObject({ kind: 'unchanged' });
      expect(await parts.store.readStream(`payout-${payoutId}`, 0n, 100)).toHaveLength(before.length);
    }
    expect(await commands.payoutState(payoutId)).toMatchObject({ phase: 'closed' });
    expect((await commands.walletState(walletId)).reserved.size).toBe(0);
    expect(await parts.accounts.read(accountStream(A.accountId))).toMatchObject({
      reservedSats: 0n,
      sentSats: 10_200n,
    });
    expect(await parts.accounts.read(accountStream(B.accountId))).toMatchObject({
      reservedSats: 0n,
      sentSats: 10_000n,
    });
  });

  it('keeps the bytes of what was signed out of memory and finds them again', async () => {
    await untilPrepared();
    await done(commands.recordSigned(forPayout({ ...signedForm(0, plan, txid), transaction: 'deadbeef' })));
    expect(await commands.signedTransaction(payoutId, txid)).toBe('deadbeef');
    await expect(commands.signedTransaction(payoutId, hashOf(1))).rejects.toThrow(InvariantError);
  });

  it('says who did it and why', async () => {
    await done(commands.startPayout(startedWith([A, B], { payoutId, walletId }), { causationId: 'a-block' }));
    const [event] = await store.readStream(`payout-${payoutId}`, 0n, 1);
    expect(event?.metadata).toEqual({ actor: 'workflow', causationId: 'a-block' });
  });

  it('gives the request, or the newest event of the payout, for the cause where nobody names one', async () => {
    const newest = async (stream: string): Promise<RecordedEvent> => {
      const event = (await store.readStream(stream, 0n, 100)).at(-1);
      if (event === undefined) throw new Error(`${stream} is empty`);
      return event;
    };
    const causeOf = async (stream: string): Promise<string | undefined> => (await newest(stream)).metadata.causationId;
    const payout = `payout-${payoutId}`;
    await done(start());
    expect(await causeOf(payout)).toBe(withdrawalEventId('main', A.withdrawalId));
    const started = (await newest(payout)).id;
    await done(assign(A));
    await done(assign(B));
    expect(await causeOf(`withdrawal-${B.withdrawalId}`)).toBe(started);
    await done(reserve());
    expect(await causeOf(`wallet-${walletId}`)).toBe(started);
    await done(prepare());
    expect(await causeOf(payout)).toBe(started);
    const prepared = (await newest(payout)).id;
    await done(commands.recordSigned(forPayout(signedForm(0, plan, txid))));
    expect(await causeOf(payout)).toBe(prepared);
  });

  it('is one event where the acknowledgement was lost', async () => {
    await done(start());
    let lost = 1;
    afterAppend = () => {
      if (lost-- > 0) throw new RetryableError('the connection broke after the commit');
    };
    expect(await assign(A)).toMatchObject({ kind: 'unchanged' });
    expect(lost).toBeLessThanOrEqual(0);
    expect(await store.readStream(`withdrawal-${A.withdrawalId}`, 0n, 10)).toHaveLength(1);
  });
});

describe('what other streams must say first', () => {
  it('nothing is prepared with coins that are not reserved or withdrawals that are not assigned', async () => {
    await done(start());
    await done(assign(A));
    await done(reserve());
    expect(await prepare()).toMatchObject({ rejected: 'payout-not-ready' });
    await done(assign(B));
    await done(prepare());
  });

  it('no payout is started for a withdrawal that was not asked for, or not like that', async () => {
    const like = (change: Partial<PaidWithdrawal>, wallet = walletId): Promise<object> =>
      commands.startPayout(startedWith([{ ...A, ...change }, B], { payoutId, walletId: wallet }));
    expect(await like({ withdrawalId: 'nobody-asked' })).toMatchObject({ rejected: 'withdrawal-not-found' });
    for (const change of [
      { amountSats: '10001' },
      { script: paid(999).script },
      { address: 'elsewhere' },
      { accountId: B.accountId },
      { maxFeeSats: null },
    ]) {
      await expect(like(change)).rejects.toThrow(InvariantError);
    }
    await expect(like({}, 'another')).rejects.toThrow(InvariantError);
    expect(await store.readStream(`payout-${payoutId}`, 0n, 1)).toEqual([]);
    await done(start());
  });

  it('no two payouts get a withdrawal, whichever process asks first', async () => {
    const others = createLedgerCommands(freshParts());
    const answers = await Promise.all([
      assign(A),
      others.assignWithdrawal({ withdrawalId: A.withdrawalId, payoutId: 'another' }),
    ]);
    expect(answers.filter((answer) => !isRejection(answer))).toHaveLength(1);
    expect(await store.readStream(`withdrawal-${A.withdrawalId}`, 0n, 10)).toHaveLength(1);
  });

  it('no money is given back for a withdrawal that is not cancelled', async () => {
    await done(start());
    await done(assign(A));
    expect(await release(A)).toMatchObject({ rejected: 'withdrawal-not-cancellable' });
  });

  it('a withdrawal of a payout is cancelled only after the payout let go of it', async () => {
    await untilPrepared();
    const cancel = { withdrawalId: A.withdrawalId, accountId: A.accountId, reason: null };
    expect(await commands.cancelWithdrawal(cancel)).toMatchObject({ rejected: 'withdrawal-not-cancellable' });
    await done(commands.removeWithdrawal({ payoutId, withdrawalId: A.withdrawalId, reason: null }));
    await done(commands.cancelWithdrawal(cancel));
    expect(await commands.cancelWithdrawal(cancel)).toMatchObject({ kind: 'unchanged' });
    await done(release(A));
    expect(await release(A)).toMatchObject({ kind: 'unchanged' });
  });

  it('an account settles only what its payout settled', async () => {
    await untilPrepared();
    await done(sign());
    expect(await settle(A, 200n)).toMatchObject({ rejected: 'payout-not-ready' });
    await done(commands.settlePayout({ payoutId, txid }));
    expect(await settle(A, 201n)).toMatchObject({ rejected: 'payout-not-ready' });
    await done(settle(A, 200n));
  });

  it('coins are given back only when the payout can do without them', async () => {
    await untilSettled();
    for (const reason of ['spent', 'conflict', 'unsigned'] as const) {
      expect(await commands.releaseCoins({ walletId, payoutId, outpoints: undefined, reason })).toMatchObject({
        rejected: 'payout-not-ready',
      });
    }
  });

  it('a withdrawal fails only with a payout that was given up', async () => {
    await untilPrepared();
    const fail = { withdrawalId: A.withdrawalId, accountId: A.accountId, payoutId, reason: 'no' };
    expect(await commands.failWithdrawal(fail)).toMatchObject({ rejected: 'payout-not-ready' });
  });
});

it('what must never be asked stops the process only where it is asked of the newest state', async () => {
  // Loaded while there is nothing in it; then another process writes.
  const account = 'late-account';
  expect(await parts.accounts.read(accountStream(account))).toMatchObject({ opened: false });
  const late = paid(n * 10 + 7, { accountId: account });
  const others = freshParts();
  const own = parts;
  parts = others;
  await requested(late);
  parts = own;
  await done(
    createLedgerCommands(others).cancelWithdrawal({
      withdrawalId: late.withdrawalId,
      accountId: account,
      reason: null,
    }),
  );
  await done(release(late));
  await expect(release({ ...late, accountId: 'no-account' })).rejects.toThrow(InvariantError);
});

describe('cancelling against signing', () => {
  it.each(Array.from({ length: 8 }, (_, round) => round))('has exactly one winner (%i)', async (round) => {
    await untilPrepared();
    const others = createLedgerCommands(freshParts());
    const cancel = (): Promise<object> =>
      others.removeWithdrawal({ payoutId, withdrawalId: A.withdrawalId, reason: null });
    const both = round % 2 === 0 ? [cancel(), sign()] : [sign(), cancel()];
    const answers = await Promise.all(both);
    expect(answers.filter((answer) => !isRejection(answer))).toHaveLength(1);
    const types = (await store.readStream(`payout-${payoutId}`, 2n, 10)).map(({ type }) => type);
    expect([['CandidateSigned'], ['WithdrawalRemoved']]).toContainEqual(types);
  });
});

it('a payment that shares no input with the one before stops before anything is written', async () => {
  await untilPrepared();
  await done(sign());
  const other = n * 10 + 5;
  await done(
    commands.reserveCoins({
      walletId,
      payoutId,
      coins: [{ outpoint: `${hashOf(other)}:0`, amountSats: 100_000n }],
      change: null,
    }),
  );
  const before = await store.readStream(`payout-${payoutId}`, 0n, 100);
  await expect(commands.prepareCandidate(forPayout(prepared(1, planOf([other], [A, B]))))).rejects.toThrow(
    InvariantError,
  );
  expect(await store.readStream(`payout-${payoutId}`, 0n, 100)).toHaveLength(before.length);
});
