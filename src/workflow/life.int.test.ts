import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/support/database.js';
import {
  openPayoutLedger,
  RECIPIENTS,
  type PayoutLedger,
  type PayoutLedgerOptions,
} from '../../test/support/payout-ledger.js';

let db: TestDatabase;
let ledgers = 0;

beforeAll(async () => {
  db = await createTestDatabase();
});
afterAll(async () => {
  await db.drop();
});

async function open(options?: PayoutLedgerOptions): Promise<PayoutLedger> {
  const opened = await openPayoutLedger(db, `w${++ledgers}`, options);
  onTestFinished(() => opened.close());
  return opened;
}

const types = async (ledger: PayoutLedger, prefix: string): Promise<string[]> =>
  (await ledger.events()).filter(({ stream }) => stream.startsWith(prefix)).map(({ type }) => type);

describe('the life of a withdrawal', () => {
  it('goes from request to closed, is paid once, and the books are even at the end', async () => {
    const ledger = await open();
    await ledger.withdraw({ withdrawalId: 'w1', amountSats: 3_000_000n, maxFeeSats: 50_000n });
    await ledger.settle();
    expect(await types(ledger, 'payout-')).toEqual([
      'PayoutStarted',
      'CandidatePrepared',
      'CandidateSigned',
      'CandidateOffered',
    ]);
    expect(ledger.chain.mempool.size).toBe(1);

    await ledger.mine();
    await ledger.settle();
    expect(await ledger.events('PayoutSettled')).toHaveLength(0);
    await ledger.mine();
    await ledger.settle();
    expect(await ledger.events('PayoutSettled', 'WithdrawalSettled')).toHaveLength(2);
    await ledger.mine(4);
    await ledger.settle();
    expect((await types(ledger, 'payout-')).slice(-2)).toEqual(['PayoutSettled', 'PayoutClosed']);
    expect((await types(ledger, 'wallet-')).at(-1)).toBe('CoinsReleased');

    expect(ledger.receivedAt(RECIPIENTS[0])).toEqual([3_000_000n]);
    const books = await ledger.books();
    expect(books.get('transit') ?? 0n).toBe(0n);
    expect(books.get('suspense') ?? 0n).toBe(0n);
    expect(ledger.trouble).toEqual([]);
  });
});
