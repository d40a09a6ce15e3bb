import type pg from 'pg';
import { quoted, readSchema } from '../tables/identifiers.js';
import type { MismatchList } from './mismatch.js';

/**
 * Reconciles what the live tables say as of a position: per wallet the coins, the balance by height and the books; what accounts
 * have together and the customers' book; per account what is set aside and the withdrawals that are open; nothing in transit without
 * a payout; all books together.
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
       set_aside AS (${top('account_books', 'account_id', 'reserved_sats', begun)}),
       open_withdrawals AS (
         SELECT r.account_id AS id, sum(r.amount_sats + coalesce(r.max_fee_sats, 0)) AS sats
         FROM ${schema}.withdrawal w JOIN ${schema}.withdrawal_request r USING (withdrawal_id)
         WHERE ${valid} AND NOT (w.state = 'settled' OR (w.state IN ('cancelled', 'failed') AND w.due IS NULL))
         GROUP BY r.account_id),
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
         SELECT 'account ' || id || ': reserved and withdrawals', coalesce(s.sats, 0), coalesce(o.sats, 0)
         FROM set_aside s FULL JOIN open_withdrawals o USING (id)
         UNION ALL
         SELECT 'transit without payouts', coalesce((SELECT sats FROM book WHERE id = 'transit'), 0), 0
         WHERE NOT EXISTS (SELECT FROM ${schema}.payout WHERE ${valid} AND is_open)
         UNION ALL
         SELECT 'all books', coalesce((SELECT sum(sats) FROM book WHERE id IN ('customers', 'house', 'suspense', 'wallets', 'transit', 'fees')), 0), 0)
     SELECT "where", stored::text, expected::text FROM checked WHERE stored <> expected ORDER BY "where" LIMIT ${list.room + 1}`,
  );
  for (const { where, stored, expected } of rows) {
    list.add({ kind: 'books', where, key: `position ${position}`, stored, expected });
  }
}
