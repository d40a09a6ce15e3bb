import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { withLeaderLock } from '../platform/postgres/leadership.js';
import { createTestDatabase } from '../../test/support/database.js';
import { openPayoutLedger, RECIPIENTS, type PayoutLedger } from '../../test/support/payout-ledger.js';
import { AT_REST, booksAtRest, dataOf, payoutLedgers } from '../../test/support/payout-ledgers.js';
import type { Workflow } from './workflow.js';

const open = payoutLedgers();
const [TO] = RECIPIENTS;
/** A safety net: what is waited for takes a fraction of it. */
const PATIENCE_MS = 30_000;

async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`never came to be: ${what}`);
    await pause(20);
  }
}

function started(workflow: Workflow): Workflow {
  workflow.start();
  onTestFinished(() => workflow.stop());
  return workflow;
}

const count = async (ledger: PayoutLedger, type: string): Promise<number> => (await ledger.events(type)).length;

describe('a workflow that runs', () => {
  it('pays as soon as it is asked, settles as soon as a block comes, and sends again as soon as a reorg took it', async () => {
    const ledger = await open();
    started(ledger.another());
    await ledger.withdraw({ withdrawalId: 'w1', amountSats: 1_000_000n });
    await until('the payment is in the mempool', () => ledger.chain.mempool.size === 1);
    await ledger.mine(2);
    await until('it is settled', async () => (await count(ledger, 'WithdrawalSettled')) === 1);
    await ledger.chain.reorg({ depth: 2, blocks: 3, dropTransactions: true });
    await ledger.mine(1, []);
    await until('it is sent again', () => ledger.chain.mempool.size === 1);
    await ledger.mine(6);
    await until('it is closed', async () => (await count(ledger, 'PayoutClosed')) === 1);
    await until('its coins are free', async () => (await count(ledger, 'CoinsReleased')) === 1);
    expect(ledger.receivedAt(TO)).toEqual([1_000_000n]);
    expect(await booksAtRest(ledger)).toEqual(AT_REST);
    expect(ledger.fatal).toEqual([]);
  });

  it('offers a bump at once, though it has sent the payment a moment ago', async () => {
    const ledger = await open();
    started(ledger.another());
    await ledger.withdraw({ withdrawalId: 'w1', amountSats: 1_000_000n });
    await until('the payment is in the mempool', () => ledger.chain.mempool.size === 1);
    await until('its offer is recorded', async () => (await count(ledger, 'CandidateOffered')) >= 1);
    const before = ledger.chain.mempool.list()[0]?.txid;
    await ledger.bump('w1', 30);
    await until('it is replaced', () => ledger.chain.mempool.list()[0]?.txid !== before);
    expect(ledger.chain.mempool.size).toBe(1);
  });

  it('finishes what a client that cancelled and died has begun', async () => {
    const ledger = await open({ signer: 'none' });
    await ledger.withdraw({ withdrawalId: 'w1', amountSats: 1_000_000n });
    await ledger.settle();
    const [payoutId = ''] = await ledger.payoutIds();
    await ledger.commands.removeWithdrawal({ payoutId, withdrawalId: 'w1', reason: 'changed my mind' });
    await ledger.settle();
    expect(await dataOf(ledger, 'WithdrawalCancelled')).toMatchObject([{ withdrawalId: 'w1' }]);
    expect(await dataOf(ledger, 'FundsReleased')).toMatchObject([{ withdrawalId: 'w1', reason: 'cancelled' }]);
  });
});

describe('two workflows on one database', () => {
  it('take turns: one leads, and the other goes on where it stopped', async () => {
    const db = await createTestDatabase();
    onTestFinished(() => db.drop());
    const ledger = await openPayoutLedger(db, 'main');
    onTestFinished(() => ledger.close());
    const lead: Parameters<PayoutLedger['another']>[0] = (signal, work) =>
      withLeaderLock({ pool: db.pool, key: '1', standingBy: () => undefined }, signal, () => work(signal));
    const first = started(ledger.another(lead));
    await until('the first leads', () => first.status().leading);
    const second = started(ledger.another(lead));
    await ledger.withdraw({ withdrawalId: 'w1', amountSats: 1_000_000n });
    await until('the payment is in the mempool', () => ledger.chain.mempool.size === 1);
    expect(second.status().leading).toBe(false);
    await first.stop();
    await until('the second leads', () => second.status().leading);
    await ledger.mine(6);
    await until('it is closed', async () => (await count(ledger, 'PayoutClosed')) === 1);
    expect(ledger.receivedAt(TO)).toEqual([1_000_000n]);
    expect(ledger.fatal).toEqual([]);
  });

  it('that both believe they lead pay nobody twice', async () => {
    const ledger = await open();
    for (let n = 0; n < 3; n++) started(ledger.another());
    const asked = Array.from({ length: 12 }, (_, n) => ({ withdrawalId: `w${n}`, amountSats: 100_000n + BigInt(n) }));
    for (const withdrawal of asked) await ledger.withdraw(withdrawal);
    const settled = (): Promise<number> => count(ledger, 'WithdrawalSettled');
    await until('all are settled', async () => {
      await ledger.mine();
      return (await settled()) === asked.length;
    });
    await ledger.mine(8);
    await until('every coin is free', async () => {
      await ledger.mine();
      return (await ledger.parts.wallets.read('wallet-hot')).reserved.size === 0;
    });
    expect(ledger.receivedAt(TO).sort()).toEqual(asked.map(({ amountSats }) => amountSats).sort());
    expect(await settled()).toBe(asked.length);
    expect(await booksAtRest(ledger)).toEqual(AT_REST);
    expect(ledger.fatal).toEqual([]);
  });
});
