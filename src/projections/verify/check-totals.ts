import type pg from 'pg';
import { quoted, readSchema } from '../tables/identifiers.js';
import type { MismatchList } from './mismatch.js';

/**
 * Reconciles what the live tables say as of a position: per wallet the coins, the balance by height and the books; what accounts
 * have together and the customers' book; all books together.
 */
export async function checkTotals(
  client: pg.ClientBase,
  ledger: string,
  position: bigint,
  list: MismatchList,
): Promise<void> {
  const schema = quoted(readSchema(ledger));
  const begun = `from_position <= ${position}`;
  const valid = `${begun} AND to_position > ${position}`;
  // Of an endless ladder the newest version that had begun, of another the one that had begun and not ended.
  const top = (table: string, key: string, sum: string, condition = valid): string =>
    `SELECT DISTINCT ON (${key}) ${key} AS id, ${sum} AS sats FROM ${schema}.${table} WHERE ${condition}
     ORDER BY ${key}, height DESC, from_position DESC`;
  const { rows } = await client.query<{ where: string; stored: string; expected: string }>(
    `WITH book AS (${top('book_balance', 'book', 'balance_sats', begun)}),
       held AS (${top('wallet_chain', 'wallet_id', 'confirmed_sats + immature_sats')}),
       owed_chain AS (${top('account_chain', 'account_id', 'deposited_sats')}),
       owed_books AS (${top('account_books', 'account_id', 'received_sats - sent_sats', begun)}),
       coins AS (SELECT wallet_id AS id, sum(amount_sats) AS sats FROM ${schema}.coin
                 WHERE ${valid} AND created_height IS NOT NULL AND spent_height IS NULL GROUP BY wallet_id),
       wallet AS (SELECT id FROM held UNION SELECT id FROM coins UNION SELECT substr(id, 8) FROM book WHERE starts_with(id, 'wallet:')),
       checked AS (
         SELECT 'wallet ' || w.id || ': books and coins' AS "where",
                coalesce((SELECT sats FROM book WHERE id = 'wallet:' || w.id), 0) AS stored,
                coalesce((SELECT sats FROM coins WHERE id = w.id), 0) AS expected FROM wallet w
         UNION ALL
         SELECT 'wallet ' || w.id || ': balance and coins', coalesce((SELECT sats FROM held WHERE id = w.id), 0),
                coalesce((SELECT sats FROM coins WHERE id = w.id), 0) FROM wallet w
         UNION ALL
         SELECT 'customers: books and accounts', coalesce((SELECT -sats FROM book WHERE id = 'customers'), 0),
                coalesce((SELECT sum(sats) FROM owed_chain), 0) + coalesce((SELECT sum(sats) FROM owed_books), 0)
         UNION ALL
         SELECT 'all books', coalesce((SELECT sum(sats) FROM book WHERE id IN ('customers', 'house', 'suspense', 'wallets', 'transit', 'fees')), 0), 0)
     SELECT "where", stored::text, expected::text FROM checked WHERE stored <> expected ORDER BY "where" LIMIT ${list.room + 1}`,
  );
  for (const { where, stored, expected } of rows) {
    list.add({ kind: 'books', where, key: `position ${position}`, stored, expected });
  }
}
