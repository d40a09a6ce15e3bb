import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { PaymentNode } from '../bitcoin/payment/payment-node.js';
import { withLeaderLock } from '../platform/postgres/leadership.js';
import { createTestDatabase } from '../../test/support/database.js';
import { openPayoutLedger, RECIPIENTS, type PayoutLedger } from '../../test/support/payout-ledger.js';
import { AT_REST, booksAtRest, dataOf, payoutLedgers } from '../../test/support/payout-ledgers.js';
import type { Workflow } from './workflow.js';

const open = payoutLedgers();
const [TO] = RECIPIENTS;
const STRANGER = `0014${'99'.repeat(20)}`;
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
      withLeaderLock({ pool: db.pool, key: '1', standingBy: () => undefined }, signal, (_, led) => work(led));
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

  it('change places when the connection of the leader is cut in the middle of a payment, and it is paid once', async () => {
    const db = await createTestDatabase();
    onTestFinished(() => db.drop());
    let sending: (() => void) | undefined;
    let goOn = (): void => undefined;
    const held = new Promise<void>((resolve) => (goOn = resolve));
    const isSending = new Promise<void>((resolve) => (sending = resolve));
    let broadcasts = 0;
    const wrapNode = (node: PaymentNode): PaymentNode => ({
      ...node,
      broadcast: async (transaction, coins) => {
        broadcasts += 1;
        // The first process sends, and hears nothing for so long that another leads meanwhile.
        if (broadcasts === 1) {
          sending?.();
          await held;
        }
        return await node.broadcast(transaction, coins);
      },
    });
    const ledger = await openPayoutLedger(db, 'main', { wrapNode });
    onTestFinished(() => ledger.close());
    const lead: Parameters<PayoutLedger['another']>[0] = (signal, work) =>
      withLeaderLock({ pool: db.pool, key: '1', standingBy: () => undefined }, signal, (_, led) => work(led));
    const first = started(ledger.another(lead));
    onTestFinished(() => goOn());
    await until('the first leads', () => first.status().leading);
    const second = started(ledger.another(lead));
    await ledger.withdraw({ withdrawalId: 'w1', amountSats: 1_000_000n });
    await isSending;
    await db.ownerPool.query(
      `SELECT pg_terminate_backend(pid) FROM pg_locks
       WHERE locktype = 'advisory' AND objid = 1 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
    );
    await until('the second leads', () => second.status().leading);
    await until('the second has sent it', () => ledger.chain.mempool.size === 1);
    await ledger.bump('w1', 30);
    await until('it is replaced', async () => (await count(ledger, 'CandidateSigned')) === 2);
    goOn();
    await until('the first leads no more', () => !first.status().leading);
    await ledger.mine(6);
    await until('it is closed', async () => (await count(ledger, 'PayoutClosed')) === 1);
    await until('its coins are free', async () => (await count(ledger, 'CoinsReleased')) >= 1);
    expect(ledger.receivedAt(TO)).toEqual([1_000_000n]);
    expect(await count(ledger, 'PayoutHalted')).toBe(0);
    expect(await booksAtRest(ledger)).toEqual(AT_REST);
    expect(ledger.fatal).toEqual([]);
  });

  it('in which one has not seen that the other has begun to pay again leave its coins alone', async () => {
    const ledger = await open({ signer: 'none' });
    await ledger.withdraw({ withdrawalId: 'w1', amountSats: 1_000_000n });
    await ledger.settle();
    const [payoutId = ''] = await ledger.payoutIds();
    const [prepared] = await dataOf(ledger, 'CandidatePrepared');
    const input = prepared?.transaction.inputs[0];
    if (prepared === undefined || input === undefined) throw new Error('nothing is prepared');
    const lost = `${input.txid}:${input.vout}`;
    const stolen = await ledger.signWithKey({
      ...prepared.transaction,
      inputs: [input],
      outputs: [{ script: STRANGER, amountSats: '9000000', withdrawalId: null, changeIndex: null }],
      feeSats: String(BigInt(input.amountSats) - 9_000_000n),
      weight: 4_000,
      txid: null,
    });
    await ledger.mine(1, [stolen.transaction]);
    await ledger.settle();
    await ledger.mine(6);
    await ledger.settle();
    expect(await ledger.resolve(payoutId, 'pay-again', stolen.txid)).toMatchObject({ kind: 'done' });
    const walletId = 'hot';
    const [coin] = (await ledger.work.spendableCoins(walletId, 1)).map(({ outpoint, amountSats }) => ({
      outpoint,
      amountSats,
    }));
    if (coin === undefined) throw new Error('there is no coin');
    // One process begins the round and reserves a coin; the other comes late with what it read before.
    const late = { walletId, payoutId, outpoints: [lost, coin.outpoint], reason: 'conflict' as const, round: 1 };
    await ledger.commands.releaseCoins(late);
    await ledger.commands.reserveCoins({ walletId, payoutId, coins: [coin], change: null });
    expect(await ledger.commands.releaseCoins(late)).toMatchObject({ kind: 'unchanged' });
    expect((await ledger.commands.walletState(walletId)).reserved.get(coin.outpoint)).toBe(payoutId);
    await ledger.settle();
    expect((await dataOf(ledger, 'CandidatePrepared'))[1]?.transaction.inputs.map(({ txid }) => txid)).toContain(
      coin.outpoint.slice(0, 64),
    );
  });

  it('of which one is slower with its plan for the same withdrawals take that of the other', async () => {
    let goOn = (): void => undefined;
    const held = new Promise<void>((resolve) => (goOn = resolve));
    let asked = 0;
    const ledger = await open({
      signer: 'none',
      wrapNode: (node) => ({
        ...node,
        feeRate: async (target) => {
          asked += 1;
          // The first has read what waits and which coins there are; meanwhile the second does all of it.
          if (asked === 1) await held;
          return await node.feeRate(target);
        },
      }),
    });
    await ledger.withdraw({ withdrawalId: 'w1', amountSats: 1_000_000n });
    const slow = ledger.another().runOnce();
    await until('the slow one plans', () => asked === 1);
    await ledger.settle();
    expect(await count(ledger, 'CandidatePrepared')).toBe(1);
    goOn();
    await slow;
    await ledger.settle();
    expect(ledger.fatal).toEqual([]);
    expect(await count(ledger, 'CandidatePrepared')).toBe(1);
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
