import { describe, expect, it } from 'vitest';
import type { EventStore } from '../eventstore/event-store.js';
import { RetryableError } from '../platform/errors.js';
import { RECIPIENTS } from '../../test/support/payout-ledger.js';
import { dataOf, payoutLedgers } from '../../test/support/payout-ledgers.js';

const open = payoutLedgers();
const [TO, OTHER] = RECIPIENTS;

describe('a payment that another builds on', () => {
  it('is raised on its own only as far as both may cost together', async () => {
    const ledger = await open();
    const hurry = { confirmationTarget: 1, maxFeeSats: 3_000n };
    await ledger.withdraw({ withdrawalId: 'w1', amountSats: 95_000_000n, ...hurry });
    await ledger.settle();
    await ledger.withdraw({ withdrawalId: 'w2', amountSats: 1_000_000n, address: OTHER, ...hurry });
    await ledger.settle();
    for (let block = 0; block < 15; block++) {
      await ledger.mine(1, []);
      ledger.clock.aheadMs += 700_000;
      await ledger.settle();
    }
    const fees = new Map<string, number>();
    for (const { payoutId, transaction } of await dataOf(ledger, 'CandidatePrepared')) {
      fees.set(payoutId, Number(transaction.feeSats));
    }
    const paid = [...fees.values()].reduce((sum, fee) => sum + fee, 0);
    expect(await ledger.events('BumpRequested')).not.toHaveLength(0);
    expect(paid).toBeGreaterThan(1_500);
    expect(paid).toBeLessThanOrEqual(6_000);
    await ledger.mine(6);
    await ledger.settle();
    expect(ledger.receivedAt(TO)).toEqual([95_000_000n]);
    expect(ledger.receivedAt(OTHER)).toEqual([1_000_000n]);
  });
});

describe('a payout whose coins are taken before it has a payment', () => {
  it('is paid, once it is decided so, from coins that are there', async () => {
    let isArmed = true;
    let isDead = false;
    // A process that dies between reserving the coins and preparing the payment.
    const wrapStore = (store: EventStore): EventStore => ({
      readStream: (stream, from, limit) => store.readStream(stream, from, limit),
      findOutcome: (key) => store.findOutcome(key),
      close: () => store.close(),
      append: (request) => {
        isDead ||= isArmed && request.events.some(({ type }) => type === 'CandidatePrepared');
        return isDead ? Promise.reject(new RetryableError('killed')) : store.append(request);
      },
    });
    const ledger = await open({ wrapStore });
    await ledger.withdraw({ withdrawalId: 'w1', amountSats: 1_000_000n });
    await ledger.settle();
    const [payoutId = ''] = await ledger.payoutIds();
    const [reserved] = await dataOf(ledger, 'CoinsReserved');
    const [txid = '', vout = '0'] = reserved?.coins[0]?.outpoint.split(':') ?? [];
    const [issued] = await dataOf(ledger, 'AddressIssued');
    const stolen = await ledger.signWithKey({
      version: 2,
      locktime: 0,
      inputs: [
        {
          txid,
          vout: Number(vout),
          amountSats: '10000000',
          script: issued?.script ?? '',
          derivation: { branch: 0, index: 0 },
          sequence: 0xffff_fffd,
          blockHash: null,
        },
      ],
      outputs: [
        {
          script: '0014751e76e8199196d454941c45d1b3a323f1433bd7',
          amountSats: '9000000',
          withdrawalId: null,
          changeIndex: null,
        },
      ],
      feeSats: '1000000',
      weight: 4_000,
      feeRateSatsPerKvb: '1000',
      txid: null,
    });
    await ledger.mine(1, [stolen.transaction]);
    isArmed = isDead = false;
    ledger.restart();
    await ledger.settle();
    expect(await ledger.events('PayoutHalted')).toHaveLength(1);
    await ledger.mine(6);
    await ledger.settle();
    expect(await ledger.resolve(payoutId, 'pay-again', stolen.txid)).toMatchObject({ kind: 'done' });
    await ledger.settle();
    await ledger.mine(6);
    await ledger.settle();
    expect(ledger.receivedAt(TO)).toEqual([1_000_000n]);
    expect(await ledger.events('PayoutClosed')).toHaveLength(1);
    expect((await ledger.commands.walletState('hot')).reserved.size).toBe(0);
  });
});
