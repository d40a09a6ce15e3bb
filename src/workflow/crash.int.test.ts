import { describe, expect, it } from 'vitest';
import type { EventStore } from '../eventstore/event-store.js';
import { RetryableError } from '../platform/errors.js';
import { RECIPIENTS, type PayoutLedger } from '../../test/support/payout-ledger.js';
import { AT_REST, booksAtRest, dataOf, payoutLedgers } from '../../test/support/payout-ledgers.js';

const open = payoutLedgers();
const [TO, OTHER] = RECIPIENTS;

class Killed extends RetryableError {}

/**
 * A store that dies at its n-th append, before it is written or after, and from then on: as a process that is killed there. `revive` is the
 * next process.
 */
function mortalStore(): {
  wrap: (store: EventStore) => EventStore;
  dieAt: (append: number, when: 'before' | 'after') => void;
  isDead: () => boolean;
} {
  let left = Infinity;
  let when: 'before' | 'after' = 'before';
  let dead = false;
  return {
    wrap: (store) => ({
      ...store,
      readStream: (stream, from, limit) => store.readStream(stream, from, limit),
      findOutcome: (key) => store.findOutcome(key),
      close: () => store.close(),
      append: async (request) => {
        if (dead) throw new Killed('the process was killed');
        left -= 1;
        dead = left <= 0;
        if (dead && when === 'before') throw new Killed('killed before the append');
        const result = await store.append(request);
        if (dead) throw new Killed('killed after the append');
        return result;
      },
    }),
    dieAt: (append, at) => {
      left = append;
      when = at;
      dead = false;
    },
    isDead: () => dead,
  };
}

/** Two withdrawals from request to closed, with a bump, a cancel and a reorg on the way. */
async function story(ledger: PayoutLedger, between: () => Promise<void>): Promise<void> {
  await ledger.withdraw({ withdrawalId: 'w1', amountSats: 1_000_000n, maxFeeSats: 100_000n });
  await ledger.withdraw({ withdrawalId: 'w2', amountSats: 2_000_000n, address: OTHER });
  await between();
  await ledger.bump('w1', 30);
  await between();
  await ledger.mine(2);
  await between();
  await ledger.chain.reorg({ depth: 2, blocks: 3, dropTransactions: true });
  await between();
  await ledger.mine(6);
  await between();
}

async function expectPaidOnce(ledger: PayoutLedger): Promise<void> {
  expect(ledger.receivedAt(TO)).toEqual([1_000_000n]);
  expect(ledger.receivedAt(OTHER)).toEqual([2_000_000n]);
  expect(await ledger.events('PayoutStarted', 'PayoutClosed')).toHaveLength(2);
  expect(await ledger.events('WithdrawalSettled')).toHaveLength(2);
  const signed = await dataOf(ledger, 'CandidateSigned');
  expect(signed.every((one) => signed.every((other) => one.inputs.some((input) => other.inputs.includes(input))))).toBe(
    true,
  );
  expect(await booksAtRest(ledger)).toEqual(AT_REST);
  expect((await ledger.parts.wallets.read('wallet-hot')).reserved.size).toBe(0);
}

describe('a workflow that is killed', () => {
  it(
    'anywhere between two appends is gone on with by the next, and everybody is paid once',
    { timeout: 600_000 },
    async () => {
      // How many appends the story takes without a kill: after that many, nothing is left to kill at.
      let killed = 0;
      // What is recorded is the same after one append and before the next; only who is told of it is not: there every third will do.
      for (const [when, every] of [
        ['before', 1],
        ['after', 3],
      ] as const) {
        for (let append = 1; ; append += every) {
          const store = mortalStore();
          const ledger = await open({ wrapStore: store.wrap });
          store.dieAt(append, when);
          let hasDied = false;
          await story(ledger, async () => {
            await ledger.settle();
            if (!store.isDead()) return;
            hasDied = true;
            store.dieAt(Infinity, when);
            ledger.restart();
            await ledger.settle();
          });
          await expectPaidOnce(ledger);
          await ledger.close();
          if (!hasDied) break;
          killed += 1;
        }
      }
      expect(killed).toBeGreaterThan(15);
    },
  );

  it('again and again, at every third append, comes to the same end', { timeout: 120_000 }, async () => {
    const store = mortalStore();
    const ledger = await open({ wrapStore: store.wrap });
    let round = 0;
    await story(ledger, async () => {
      do {
        store.dieAt(3, round++ % 2 === 0 ? 'before' : 'after');
        ledger.restart();
        await ledger.settle();
      } while (store.isDead());
    });
    await expectPaidOnce(ledger);
  });
});
