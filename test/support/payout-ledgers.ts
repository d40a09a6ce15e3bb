import { afterAll, beforeAll, onTestFinished } from 'vitest';
import type { EventData, EventType } from '../../src/domain/events/event-types.js';
import { createTestDatabase, type TestDatabase } from './database.js';
import { openPayoutLedger, type PayoutLedger, type PayoutLedgerOptions } from './payout-ledger.js';

let opened = 0;

/** Ledgers of a test file: one database, a ledger for each test, closed when it ends. */
export function payoutLedgers(): (options?: PayoutLedgerOptions) => Promise<PayoutLedger> {
  let db: TestDatabase | undefined;
  beforeAll(async () => {
    db = await createTestDatabase();
  });
  afterAll(async () => {
    await db?.drop();
  });
  return async (options) => {
    if (db === undefined) throw new Error('the database is made before the tests');
    const ledger = await openPayoutLedger(db, `w${++opened}`, options);
    onTestFinished(() => ledger.close());
    return ledger;
  };
}

/** Types of the events on streams that begin so. */
export async function typesOn(ledger: PayoutLedger, prefix: string): Promise<string[]> {
  return (await ledger.events()).filter(({ stream }) => stream.startsWith(prefix)).map(({ type }) => type);
}

/** Data of all events of one type. */
export async function dataOf<T extends EventType>(ledger: PayoutLedger, type: T): Promise<EventData<T>[]> {
  return (await ledger.events(type)).map(({ data }) => data as EventData<T>);
}

/** Nothing is under way and nothing is missing: the books say so. */
export async function booksAtRest(ledger: PayoutLedger): Promise<{ transit: bigint; suspense: bigint; sum: bigint }> {
  const books = await ledger.books();
  const sum = [...books.values()].reduce((total, balance) => total + balance, 0n);
  return { transit: books.get('transit') ?? 0n, suspense: books.get('suspense') ?? 0n, sum };
}

export const AT_REST = { transit: 0n, suspense: 0n, sum: 0n };
