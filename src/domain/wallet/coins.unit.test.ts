import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hashOf, scriptOf } from '../../../test/support/payout-cases.js';
import { InvariantError } from '../../platform/assert.js';
import type { DomainEvent } from '../events/event-types.js';
import { newEvents } from '../new-event.js';
import { releaseCoins as decideRelease, type ReleaseCoins } from './release-coins.js';
import { reserveCoins, type ReserveCoins } from './reserve-coins.js';
import { coinsReservedFor, evolveWallet, initialWalletState, type WalletState } from './wallet-state.js';

const created: DomainEvent = {
  type: 'WalletCreated',
  data: { walletId: 'hot', network: 'regtest', descriptor: 'd', changeDescriptor: 'c', gapLimit: 20, signer: 'local' },
};
const given = (...events: DomainEvent[]): WalletState => events.reduce(evolveWallet, initialWalletState);
const coin = (n: number): string => `${hashOf(n)}:0`;
const command = (payoutId: string, coins: readonly number[], change: ReserveCoins['change'] = null): ReserveCoins => ({
  walletId: 'hot',
  payoutId,
  coins: coins.map((n) => ({ outpoint: coin(n), amountSats: BigInt(n) })),
  change,
});
const releaseCoins = (asked: ReleaseCoins, state: WalletState): ReturnType<typeof decideRelease> =>
  decideRelease(asked, state, { mayRelease: () => true });
const changeAt = (index: number, branch: 0 | 1 = 1): ReserveCoins['change'] => ({
  branch,
  index,
  script: scriptOf(index),
  address: `change-${index}`,
});
const after = (state: WalletState, decided: DomainEvent[] | object): WalletState => {
  if (!Array.isArray(decided)) throw new Error(`refused: ${JSON.stringify(decided)}`);
  newEvents(decided as DomainEvent[], { ledger: 'main', key: 'k', metadata: {} });
  return (decided as DomainEvent[]).reduce(evolveWallet, state);
};

describe('reserving coins', () => {
  it('takes all of them, and the change address in the same append', () => {
    expect(reserveCoins(command('p1', [1, 2], changeAt(0)), given(created))).toEqual([
      {
        type: 'CoinsReserved',
        data: {
          walletId: 'hot',
          payoutId: 'p1',
          coins: [
            { outpoint: coin(1), amountSats: '1' },
            { outpoint: coin(2), amountSats: '2' },
          ],
        },
      },
      {
        type: 'AddressIssued',
        data: { walletId: 'hot', accountId: null, branch: 1, index: 0, script: scriptOf(0), address: 'change-0' },
      },
    ]);
  });

  it('counts change apart from the addresses that are handed out', () => {
    const state = after(given(created), reserveCoins(command('p1', [1], changeAt(3)), given(created)));
    expect(state).toMatchObject({ nextIndex: 0, nextChangeIndex: 4 });
    const onMain = after(state, reserveCoins(command('p1', [2], changeAt(5, 0)), state));
    expect(onMain).toMatchObject({ nextIndex: 6, nextChangeIndex: 4 });
  });

  it('takes none where another payout has one', () => {
    const state = after(given(created), reserveCoins(command('p1', [1]), given(created)));
    expect(reserveCoins(command('p2', [2, 1]), state)).toEqual({
      rejected: 'coins-reserved',
      detail: `Coin ${coin(1)} is reserved for payout 'p1'.`,
    });
  });

  it('is done once, and takes what is new', () => {
    const state = after(given(created), reserveCoins(command('p1', [1, 2], changeAt(0)), given(created)));
    expect(reserveCoins(command('p1', [1, 2], changeAt(0)), state)).toEqual([]);
    expect(reserveCoins(command('p1', [1, 2, 3]), state)).toMatchObject([
      { type: 'CoinsReserved', data: { coins: [{ outpoint: coin(3), amountSats: '3' }] } },
    ]);
  });

  it('issues another change address for coins that the payout has', () => {
    const state = after(given(created), reserveCoins(command('p1', [1], changeAt(0)), given(created)));
    const decided = reserveCoins(command('p1', [1], changeAt(1)), state);
    expect(decided).toMatchObject([{ type: 'AddressIssued', data: { branch: 1, index: 1, accountId: null } }]);
    expect(reserveCoins(command('p1', [1], changeAt(1)), after(state, decided))).toEqual([]);
  });

  it('gives a change address to one payout', () => {
    const state = after(given(created), reserveCoins(command('p1', [1], changeAt(0)), given(created)));
    expect(reserveCoins(command('p2', [2], changeAt(0)), state)).toMatchObject({ rejected: 'change-address-taken' });
  });

  it('needs the wallet, and each coin named once', () => {
    expect(reserveCoins(command('p1', [1]), given())).toMatchObject({ rejected: 'wallet-not-found' });
    expect(() => reserveCoins(command('p1', [1, 1]), given(created))).toThrow(InvariantError);
  });
});

describe('giving coins back', () => {
  const state = after(given(created), reserveCoins(command('p1', [1, 2]), given(created)));

  it('gives back all that the payout has, once', () => {
    const release = { walletId: 'hot', payoutId: 'p1', outpoints: undefined, reason: 'spent' as const };
    const decided = releaseCoins(release, state);
    expect(decided).toEqual([
      {
        type: 'CoinsReleased',
        data: { walletId: 'hot', payoutId: 'p1', outpoints: [coin(1), coin(2)], reason: 'spent' },
      },
    ]);
    const free = after(state, decided);
    expect(free.reserved.size).toBe(0);
    expect(free.reservedOf.size).toBe(0);
    expect(releaseCoins(release, free)).toEqual([]);
  });

  it('gives back what earlier rounds had once for each round, and never what a round has reserved for itself', () => {
    const release = { walletId: 'hot', payoutId: 'p1', outpoints: [coin(1), coin(2)], reason: 'conflict' as const };
    const begun = after(state, releaseCoins({ ...release, round: 1 }, state));
    // One of them is there again, and is chosen again.
    const chosen = after(begun, reserveCoins(command('p1', [2, 3]), begun));
    // Another process that believes it leads has not seen that the round has begun.
    expect(releaseCoins({ ...release, round: 1 }, chosen)).toEqual([]);
    expect(releaseCoins({ ...release, round: 2 }, chosen)).toMatchObject([
      { data: { outpoints: [coin(2)], round: 2 } },
    ]);
    const ended = after(chosen, releaseCoins({ ...release, outpoints: undefined }, chosen));
    expect(ended.roundOf.size).toBe(0);
  });

  it('leaves those of others alone', () => {
    const outpoints = [coin(1), coin(7)];
    expect(releaseCoins({ walletId: 'hot', payoutId: 'p2', outpoints, reason: 'unsigned' }, state)).toEqual([]);
    expect(releaseCoins({ walletId: 'hot', payoutId: 'p1', outpoints, reason: 'conflict' }, state)).toMatchObject([
      { data: { outpoints: [coin(1)] } },
    ]);
    const none = { walletId: 'hot', payoutId: 'p1', outpoints, reason: 'spent' as const };
    expect(releaseCoins(none, given())).toMatchObject({ rejected: 'wallet-not-found' });
  });

  it('keeps what the payout still needs', () => {
    const release = { walletId: 'hot', payoutId: 'p1', outpoints: undefined, reason: 'unsigned' as const };
    const mayRelease = (outpoint: string): boolean => outpoint !== coin(2);
    expect(decideRelease(release, state, { mayRelease })).toMatchObject({ rejected: 'payout-not-ready' });
    expect(decideRelease({ ...release, outpoints: [coin(1)] }, state, { mayRelease })).toHaveLength(1);
  });

  it('is written in events that fit', () => {
    const many = Array.from({ length: 1_000 }, (_, n) => n);
    let big = given(created);
    for (const from of [0, 500]) big = after(big, reserveCoins(command('p', many.slice(from, from + 500)), big));
    const decided = releaseCoins({ walletId: 'hot', payoutId: 'p', outpoints: undefined, reason: 'spent' }, big);
    expect(decided).toHaveLength(2);
    expect(after(big, decided).reserved.size).toBe(0);
  });
});

it('whatever is reserved and given back in whichever order, no coin is ever reserved for two payouts', () => {
  const step = fc.record({
    reserve: fc.boolean(),
    payout: fc.integer({ min: 0, max: 3 }),
    coins: fc.uniqueArray(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 4 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let state = given(created);
      const owner = new Map<string, string>();
      for (const { reserve, payout, coins } of steps) {
        const payoutId = `p${payout}`;
        const decided = reserve
          ? reserveCoins(command(payoutId, coins), state)
          : releaseCoins({ walletId: 'hot', payoutId, outpoints: coins.map(coin), reason: 'spent' }, state);
        if (!Array.isArray(decided)) continue;
        state = after(state, decided);
        for (const event of decided) {
          if (event.type === 'CoinsReserved') {
            for (const { outpoint } of event.data.coins) {
              expect(owner.get(outpoint)).toBeUndefined();
              owner.set(outpoint, payoutId);
            }
          } else if (event.type === 'CoinsReleased') {
            for (const outpoint of event.data.outpoints) {
              expect(owner.get(outpoint)).toBe(payoutId);
              owner.delete(outpoint);
            }
          }
        }
        expect(new Map(state.reserved)).toEqual(owner);
        for (const id of ['p0', 'p1', 'p2', 'p3']) {
          const own = [...owner].filter(([, by]) => by === id).map(([outpoint]) => outpoint);
          expect([...coinsReservedFor(state, id)].sort()).toEqual(own.sort());
        }
      }
    }),
    { numRuns: 300 },
  );
});
