import type { ResolvedAsOf } from '../as-of.js';
import type { ReadDatabase } from './database.js';
import { ladderAt } from './fragments.js';

export interface EntryRecord {
  accountId: string;
  position: bigint;
  n: number;
  recordedAt: Date;
  type: string;
  amountSats: bigint;
  balanceSats: bigint;
  reference: string;
}

export interface EntryPage {
  before: { position: bigint; n: number } | undefined;
  limit: number;
}

interface Row {
  account_id: string;
  position: bigint;
  n: number;
  recorded_at: Date;
  type: string;
  amount_sats: bigint;
  balance_sats: bigint;
  reference: string;
}

/** Entries of these accounts, newest first, each with the balance after it; `page` holds for each account. */
export async function listEntries(
  database: ReadDatabase,
  at: ResolvedAsOf,
  accountIds: readonly string[],
  page: EntryPage,
): Promise<Map<string, EntryRecord[]>> {
  const rows = await (at.height === null ? asWritten : asCounted)(database, at, accountIds, page);
  const entries = new Map<string, EntryRecord[]>(accountIds.map((id) => [id, []]));
  for (const row of rows) {
    entries.get(row.account_id)?.push({
      accountId: row.account_id,
      position: row.position,
      n: row.n,
      recordedAt: row.recorded_at,
      type: row.type,
      amountSats: row.amount_sats,
      balanceSats: row.balance_sats,
      reference: row.reference,
    });
  }
  return entries;
}

/** Without a height: everything that was written by then, what a reorg took back and its taking back included. */
async function asWritten(
  { schema, rows }: ReadDatabase,
  at: ResolvedAsOf,
  accountIds: readonly string[],
  page: EntryPage,
): Promise<Row[]> {
  const before = page.before ?? { position: at.position + 1n, n: 0 };
  return rows<Row>(
    'query.list-entries',
    `SELECT e.* FROM unnest($1::text[]) AS wanted(account_id) CROSS JOIN LATERAL (
       SELECT account_id, position, n, recorded_at, type, amount_sats, balance_sats, reference
       FROM ${schema}.account_entry
       WHERE account_id = wanted.account_id AND position <= $5::bigint AND (position, n) < ($2::bigint, $3::int)
       ORDER BY position DESC, n DESC LIMIT $4::int
     ) e ORDER BY e.account_id, e.position DESC, e.n DESC`,
    [accountIds, before.position, before.n, page.limit, at.position],
  );
}

/**
 * With a height: only what counts there, on the branch that is asked about. The balance after an entry is the balance as of
 * the moment, less what came after the entry: a page deep down adds up everything above it.
 */
async function asCounted(
  { schema, rows }: ReadDatabase,
  at: ResolvedAsOf,
  accountIds: readonly string[],
  page: EntryPage,
): Promise<Row[]> {
  const latest = at.chainBound > at.bookBound ? at.chainBound : at.bookBound;
  const before = page.before ?? { position: latest + 1n, n: 0 };
  const counts = `e.account_id = wanted.account_id AND e.position <= $7::bigint AND e.height <= $6::int AND (
      (e.type = 'deposit' AND e.from_position <= $5::bigint AND e.to_position > $5::bigint)
      OR (e.type IN ('transfer-sent', 'transfer-received', 'withdrawal', 'withdrawal-fee') AND e.position <= $8::bigint))`;
  const chain = ladderAt(`${schema}.account_chain`, {
    key: 'account_id',
    equals: 'wanted.account_id',
    columns: ['deposited_sats'],
    height: '$6::int',
    position: '$5::bigint',
  });
  const books = ladderAt(`${schema}.account_books`, {
    key: 'account_id',
    equals: 'wanted.account_id',
    columns: ['received_sats', 'sent_sats'],
    height: '$6::int',
    position: '$8::bigint',
    endless: true,
  });
  return rows<Row>(
    'query.list-entries-at-height',
    `SELECT p.account_id, p.position, p.n, p.recorded_at, p.type, p.amount_sats, p.reference,
       (coalesce(c.deposited_sats, 0) + coalesce(b.received_sats, 0) - coalesce(b.sent_sats, 0) - newer.sum - p.above)::bigint
         AS balance_sats
     FROM unnest($1::text[]) AS wanted(account_id)
     LEFT JOIN LATERAL (${chain}) c ON true
     LEFT JOIN LATERAL (${books}) b ON true
     CROSS JOIN LATERAL (
       SELECT coalesce(sum(e.amount_sats), 0) AS sum FROM ${schema}.account_entry e
       WHERE ${counts} AND (e.position, e.n) >= ($2::bigint, $3::int)
     ) newer
     CROSS JOIN LATERAL (
       SELECT e.*, coalesce(sum(e.amount_sats) OVER (
           ORDER BY e.position DESC, e.n DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS above
       FROM (SELECT e.* FROM ${schema}.account_entry e
             WHERE ${counts} AND (e.position, e.n) < ($2::bigint, $3::int)
             ORDER BY e.position DESC, e.n DESC LIMIT $4::int) e
     ) p ORDER BY p.account_id, p.position DESC, p.n DESC`,
    [accountIds, before.position, before.n, page.limit, at.chainPosition, at.height, latest, at.position],
  );
}
