import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DomainEvent } from '../events/event-types.js';
import { MAX_MONEY_SATS } from '../primitives.js';
import { InvariantError } from '../../platform/assert.js';
import { newEvents } from '../new-event.js';
import { availableSats, evolveAccount, initialAccountState, reservedBy, type AccountState } from './account-state.js';
import { releaseFunds } from './release-funds.js';
import { reserveFunds, type ReserveFacts, type ReserveFunds } from './reserve-funds.js';
import { sendTransfer } from './send-transfer.js';
import { settleWithdrawal } from './settle-withdrawal.js';

const opened: DomainEvent = { type: 'AccountOpened', data: { accountId: 'alice', metadata: {} } };
const given = (...events: DomainEvent[]): AccountState => events.reduce(evolveAccount, initialAccountState);
const withdrawal = (change: Partial<ReserveFunds> = {}): ReserveFunds => ({
  withdrawalId: 'w1',
  accountId: 'alice',
  walletId: 'hot',
  address: 'bcrt1q',
  script: '0014'.padEnd(44, '0'),
  amountSats: 1_000n,
  maxFeeSats: 200n,
  confirmationTarget: 6,
  ...change,
});
const facts = (change: Partial<ReserveFacts> = {}): ReserveFacts => ({
  creditsSats: 5_000n,
  withdrawalExists: false,
  dustSats: 294n,
  maxSats: MAX_MONEY_SATS,
  ...change,
});
const events = (decided: DomainEvent[] | object): DomainEvent[] => {
  if (!Array.isArray(decided)) throw new Error(`refused: ${JSON.stringify(decided)}`);
  return decided as DomainEvent[];
};
const reserved = (change: Partial<ReserveFunds> = {}): DomainEvent[] =>
  events(reserveFunds(withdrawal(change), given(opened), facts({ creditsSats: MAX_MONEY_SATS })));
const settled = (state: AccountState, feeSats = 50n, change: object = {}): DomainEvent[] =>
  settleWithdrawal(
    {
      withdrawalId: 'w1',
      accountId: 'alice',
      payoutId: 'p',
      txid: 'aa'.repeat(32),
      amountSats: 1_000n,
      feeSats,
      ...change,
    },
    state,
  );
const release = { withdrawalId: 'w1', accountId: 'alice', reason: 'cancelled' as const };

describe('reserving funds for a withdrawal', () => {
  it('sets the amount and the most that the fee may be aside', () => {
    expect(reserveFunds(withdrawal(), given(opened), facts())).toEqual([
      {
        type: 'FundsReserved',
        data: {
          ...withdrawal(),
          amountSats: '1000',
          maxFeeSats: '200',
          postings: [
            { book: 'account:alice', amountSats: '1200' },
            { book: 'reserved:alice', amountSats: '-1200' },
          ],
        },
      },
    ]);
    expect(given(opened, ...reserved()).reservedSats).toBe(1_200n);
  });

  it('reserves the amount alone where the house pays the fee', () => {
    expect(given(opened, ...reserved({ maxFeeSats: null })).reservedSats).toBe(1_000n);
  });

  it('counts what is reserved already: available is what came in less what was sent less what is reserved', () => {
    const state = given(opened, ...reserved({ withdrawalId: 'w0' }));
    expect(reserveFunds(withdrawal(), state, facts({ creditsSats: 2_400n }))).toHaveLength(1);
    expect(reserveFunds(withdrawal(), state, facts({ creditsSats: 2_399n }))).toEqual({
      rejected: 'insufficient-funds',
      detail: "Account 'alice' has 1199 satoshis available.",
    });
  });

  it('keeps a transfer from taking what is reserved', () => {
    const state = given(opened, ...reserved());
    const transfer = { transferId: 't', fromAccountId: 'alice', toAccountId: 'bob', amountSats: 801n };
    const known = { recipientExists: true, transferExists: false };
    expect(sendTransfer(transfer, state, { ...known, creditsSats: 2_000n })).toMatchObject({
      rejected: 'insufficient-funds',
    });
    expect(sendTransfer({ ...transfer, amountSats: 800n }, state, { ...known, creditsSats: 2_000n })).toHaveLength(1);
  });

  it.each([
    ['account-not-found', {}, {}, []],
    ['amount-invalid', { amountSats: 0n }, {}, [opened]],
    ['amount-invalid', { amountSats: -1n }, {}, [opened]],
    ['amount-invalid', { amountSats: MAX_MONEY_SATS + 1n }, {}, [opened]],
    ['amount-invalid', { maxFeeSats: -1n }, {}, [opened]],
    ['amount-invalid', { maxFeeSats: MAX_MONEY_SATS + 1n }, {}, [opened]],
    ['amount-dust', { amountSats: 293n }, {}, [opened]],
    ['amount-too-large', { amountSats: 1_001n }, { maxSats: 1_000n }, [opened]],
    ['withdrawal-exists', {}, { withdrawalExists: true }, [opened]],
    ['withdrawal-exists', {}, {}, [opened, ...reserved()]],
    ['insufficient-funds', {}, { creditsSats: 1_199n }, [opened]],
    ['insufficient-funds', {}, { creditsSats: -5n }, [opened]],
  ] as const)('refuses: %s %o %o', (code, change, factsChange, before) => {
    expect(reserveFunds(withdrawal(change), given(...before), facts(factsChange))).toMatchObject({ rejected: code });
  });

  it('takes what is exactly at the bounds', () => {
    expect(reserveFunds(withdrawal({ amountSats: 294n }), given(opened), facts({ maxSats: 294n }))).toHaveLength(1);
    expect(reserveFunds(withdrawal({ maxFeeSats: 0n }), given(opened), facts({ creditsSats: 1_000n }))).toHaveLength(1);
  });

  it('refuses an id that was finished a moment ago', () => {
    const open = given(opened, ...reserved());
    const state = settled(open).reduce(evolveAccount, open);
    expect(reserveFunds(withdrawal(), state, facts())).toMatchObject({ rejected: 'withdrawal-exists' });
  });
});

describe('the end of a reservation', () => {
  const open = given(opened, ...reserved());

  it('settles: the account pays amount and fee share, the rest is given back', () => {
    const decided = settled(open, 50n);
    expect(decided).toMatchObject([
      {
        type: 'WithdrawalSettled',
        data: {
          amountSats: '1000',
          feeSats: '50',
          releasedSats: '150',
          postings: [
            { book: 'reserved:alice', amountSats: '1200' },
            { book: 'transit', amountSats: '-1050' },
            { book: 'account:alice', amountSats: '-150' },
          ],
        },
      },
    ]);
    const after = decided.reduce(evolveAccount, open);
    expect(after).toMatchObject({ reservedSats: 0n, sentSats: 1_050n });
    expect(availableSats(after, 5_000n)).toBe(3_950n);
  });

  it('settles without a rest', () => {
    const [event] = settled(open, 200n);
    expect(event?.data).toMatchObject({ releasedSats: '0' });
    expect((event?.data as { postings: unknown[] }).postings).toHaveLength(2);
  });

  it('gives the whole reservation back', () => {
    const decided = releaseFunds(release, open);
    expect(decided).toMatchObject([
      {
        type: 'FundsReleased',
        data: {
          amountSats: '1200',
          postings: [
            { book: 'reserved:alice', amountSats: '1200' },
            { book: 'account:alice', amountSats: '-1200' },
          ],
        },
      },
    ]);
    expect(decided.reduce(evolveAccount, open)).toMatchObject({ reservedSats: 0n, sentSats: 0n });
  });

  it('comes once: what was done is not done again', () => {
    const afterSettled = settled(open).reduce(evolveAccount, open);
    expect(settled(afterSettled)).toEqual([]);
    expect(releaseFunds(release, afterSettled)).toEqual([]);
    const afterReleased = releaseFunds(release, open).reduce(evolveAccount, open);
    expect(releaseFunds(release, afterReleased)).toEqual([]);
  });

  it('is never a settlement after the money was given back', () => {
    const released = releaseFunds(release, open).reduce(evolveAccount, open);
    expect(() => settled(released)).toThrow(InvariantError);
  });

  it('never costs the account more than it allowed, nor another amount', () => {
    expect(() => settled(open, 201n)).toThrow(InvariantError);
    expect(() => settled(open, -1n)).toThrow(InvariantError);
    expect(() => settled(open, 0n, { amountSats: 999n })).toThrow(InvariantError);
    expect(() => settled(given(opened, ...reserved({ maxFeeSats: null })), 1n)).toThrow(InvariantError);
  });

  it('is one event in the log, whichever way it ends, because both would have the same id', () => {
    const origin = (key: string): { ledger: string; key: string; metadata: object } => ({
      ledger: 'main',
      key,
      metadata: {},
    });
    const [asSettled] = newEvents(settled(open), origin('a'));
    const [asReleased] = newEvents(releaseFunds(release, open), origin('b'));
    expect(asSettled?.id).toBe(asReleased?.id);
    const [first] = newEvents(reserved(), origin('c'));
    const [ofAnother] = newEvents(reserved({ accountId: 'bob' }), origin('d'));
    expect(first?.id).toBe(ofAnother?.id);
  });
});

type Step = {
  do: 'reserve' | 'settle' | 'release' | 'send';
  id: number;
  amount: bigint;
  maxFee: bigint | null;
  fee: bigint;
};
const step: fc.Arbitrary<Step> = fc.record({
  do: fc.constantFrom('reserve', 'settle', 'release', 'send'),
  id: fc.integer({ min: 0, max: 8 }),
  amount: fc.bigInt({ min: 300n, max: 3_000n }),
  maxFee: fc.option(fc.bigInt({ min: 0n, max: 500n })),
  fee: fc.bigInt({ min: 0n, max: 500n }),
});

describe('whatever is decided in whichever order', () => {
  it('available never goes below zero, what is reserved is the sum of what is open, each reservation ends once, postings balance', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), fc.bigInt({ min: 0n, max: 20_000n }), (steps, creditsSats) => {
        let state = given(opened);
        const ended = new Map<string, number>();
        const openOnes = new Map<string, { amountSats: bigint; maxFeeSats: bigint | null }>();
        for (const { do: what, id, amount, maxFee, fee } of steps) {
          const withdrawalId = `w${id}`;
          const reservation = openOnes.get(withdrawalId);
          let decided: DomainEvent[] | { rejected: string } = [];
          if (what === 'reserve') {
            const command = withdrawal({ withdrawalId, amountSats: amount, maxFeeSats: maxFee });
            decided = reserveFunds(command, state, facts({ creditsSats }));
          } else if (what === 'send') {
            const transfer = {
              transferId: `t${state.events}`,
              fromAccountId: 'alice',
              toAccountId: 'bob',
              amountSats: amount,
            };
            decided = sendTransfer(transfer, state, { recipientExists: true, creditsSats, transferExists: false });
          } else if (what === 'release') {
            decided = releaseFunds({ ...release, withdrawalId }, state);
          } else if (reservation !== undefined) {
            const max = reservation.maxFeeSats ?? 0n;
            decided = settled(state, fee < max ? fee : max, { withdrawalId, amountSats: reservation.amountSats });
          }
          if (!Array.isArray(decided)) continue;
          for (const event of decided) {
            state = evolveAccount(state, event);
            if (event.type === 'FundsReserved') openOnes.set(withdrawalId, { amountSats: amount, maxFeeSats: maxFee });
            if (event.type === 'FundsReleased' || event.type === 'WithdrawalSettled') {
              ended.set(withdrawalId, (ended.get(withdrawalId) ?? 0) + 1);
              openOnes.delete(withdrawalId);
            }
            const { postings } = event.data as { postings: { amountSats: string }[] };
            expect(postings.reduce((sum, { amountSats }) => sum + BigInt(amountSats), 0n)).toBe(0n);
          }
          expect(availableSats(state, creditsSats)).toBeGreaterThanOrEqual(0n);
          const open = [...state.reservations.values()].reduce((sum, each) => sum + reservedBy(each), 0n);
          expect(state.reservedSats).toBe(open);
          expect(state.reservations.size).toBe(openOnes.size);
          expect([...ended.values()].every((times) => times === 1)).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });
});
