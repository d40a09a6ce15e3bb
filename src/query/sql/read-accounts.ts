import type { ResolvedAsOf } from '../as-of.js';
import type { ReadDatabase } from './database.js';
import { ladderAt } from './fragments.js';

export interface AccountRecord {
  accountId: string;
  openedPosition: bigint;
  openedAt: Date;
  metadata: unknown;
  availableSats: bigint;
  reservedSats: bigint;
  pendingSats: bigint;
  frozen: boolean;
}

interface Row {
  account_id: string;
  opened_position: bigint;
  recorded_at: Date;
  metadata: unknown;
  deposited_sats: bigint;
  matured_sats: bigint;
  received_sats: bigint;
  sent_sats: bigint;
  reserved_sats: bigint;
}

/** These accounts with their balances, as of a moment; those that were not open then are left out. */
export async function readAccounts(
  database: ReadDatabase,
  at: ResolvedAsOf,
  accountIds: readonly string[],
): Promise<Map<string, AccountRecord>> {
  const rows = await database.rows<Row>(
    'query.read-accounts',
    `${accountsSql(database.schema)} AND a.account_id = ANY($4::text[])`,
    [...moment(at), accountIds],
  );
  return new Map(rows.map((row) => [row.account_id, toRecord(row)]));
}

/** Newest first, after the account that was opened at `before`. */
export async function listAccounts(
  database: ReadDatabase,
  at: ResolvedAsOf,
  page: { before: bigint | undefined; limit: number },
): Promise<AccountRecord[]> {
  const { schema } = database;
  // Exclusive; nothing was opened after the moment itself.
  const before = page.before ?? at.position + 1n;
  const rows = await database.rows<Row>(
    'query.list-accounts',
    `${accountsSql(schema)} AND a.opened_position < $4::bigint ORDER BY a.opened_position DESC LIMIT $5::int`,
    [...moment(at), before, page.limit],
  );
  return rows.map(toRecord);
}

/** `$1` position, `$2` chain position, `$3` height. */
function moment(at: ResolvedAsOf): unknown[] {
  return [at.position, at.chainPosition, at.ceiling];
}

/** What is owed: `available` = matured + received - sent - reserved, `pending` = deposited - matured. */
function accountsSql(schema: string): string {
  const chain = ladderAt(`${schema}.account_chain`, {
    key: 'account_id',
    equals: 'a.account_id',
    columns: ['deposited_sats', 'matured_sats'],
    height: '$3::int',
    position: '$2::bigint',
  });
  const books = ladderAt(`${schema}.account_books`, {
    key: 'account_id',
    equals: 'a.account_id',
    columns: ['received_sats', 'sent_sats', 'reserved_sats'],
    height: '$3::int',
    position: '$1::bigint',
    endless: true,
  });
  return `SELECT a.account_id, a.opened_position, a.recorded_at, a.metadata,
      coalesce(c.deposited_sats, 0) AS deposited_sats, coalesce(c.matured_sats, 0) AS matured_sats,
      coalesce(b.received_sats, 0) AS received_sats, coalesce(b.sent_sats, 0) AS sent_sats,
      coalesce(b.reserved_sats, 0) AS reserved_sats
    FROM ${schema}.account a
    LEFT JOIN LATERAL (${chain}) c ON true
    LEFT JOIN LATERAL (${books}) b ON true
    WHERE a.opened_position <= $1::bigint AND a.opened_height <= $3::int`;
}

function toRecord(row: Row): AccountRecord {
  const reservedSats = row.reserved_sats;
  const availableSats = row.matured_sats + row.received_sats - row.sent_sats - reservedSats;
  return {
    accountId: row.account_id,
    openedPosition: row.opened_position,
    openedAt: row.recorded_at,
    metadata: row.metadata,
    availableSats,
    reservedSats,
    pendingSats: row.deposited_sats - row.matured_sats,
    frozen: availableSats < 0n,
  };
}
