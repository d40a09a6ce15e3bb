import type { ResolvedAsOf } from '../as-of.js';
import type { ReadDatabase } from './database.js';
import { ladderAt } from './fragments.js';

/** Balances of the books, debits positive; derived from postings alone. */
export interface BooksRecord {
  customers: bigint;
  house: bigint;
  suspense: bigint;
  wallets: bigint;
  transit: bigint;
  fees: bigint;
}

export async function readBooks({ schema, rows }: ReadDatabase, at: ResolvedAsOf): Promise<BooksRecord> {
  const ladder = ladderAt(`${schema}.book_balance`, {
    key: 'book',
    equals: 'wanted.book',
    columns: ['balance_sats'],
    height: '$2::int',
    position: '$1::bigint',
    endless: true,
  });
  const found = await rows<{ book: keyof BooksRecord; balance_sats: bigint }>(
    'query.read-books',
    `SELECT wanted.book, b.balance_sats FROM unnest('{customers,house,suspense,wallets,transit,fees}'::text[]) AS wanted(book)
     CROSS JOIN LATERAL (${ladder}) b`,
    [at.chainPosition, at.ceiling],
  );
  const books: BooksRecord = { customers: 0n, house: 0n, suspense: 0n, wallets: 0n, transit: 0n, fees: 0n };
  for (const { book, balance_sats: balance } of found) books[book] = balance;
  return books;
}

/** What the chain says all wallets hold: derived from coins. Adds wallet by wallet: a ledger has some, not millions. */
export async function readWalletsTotal({ schema, rows }: ReadDatabase, at: ResolvedAsOf): Promise<bigint> {
  const ladder = ladderAt(`${schema}.wallet_chain`, {
    key: 'wallet_id',
    equals: 'w.wallet_id',
    columns: ['confirmed_sats', 'immature_sats'],
    height: '$2::int',
    position: '$1::bigint',
  });
  const [row] = await rows<{ sats: bigint }>(
    'query.read-wallets-total',
    `SELECT coalesce(sum(c.confirmed_sats + c.immature_sats), 0)::bigint AS sats
     FROM ${schema}.wallet w CROSS JOIN LATERAL (${ladder}) c`,
    [at.chainPosition, at.ceiling],
  );
  return row?.sats ?? 0n;
}

/** When the event at this position was recorded; undefined for position 0. */
export async function readRecordedAt({ ledger, rows }: ReadDatabase, position: bigint): Promise<Date | undefined> {
  const [row] = await rows<{ recorded_at: Date }>(
    'query.read-recorded-at',
    `SELECT recorded_at FROM outbox WHERE ledger = $1 AND position = $2::bigint`,
    [ledger, position],
  );
  return row?.recorded_at;
}
