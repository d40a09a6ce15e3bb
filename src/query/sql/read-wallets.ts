import type { ResolvedAsOf } from '../as-of.js';
import type { ReadDatabase } from './database.js';
import { ladderAt, validAt } from './fragments.js';
import { MOVED } from './list-transfers.js';

export interface WalletRecord {
  walletId: string;
  openedPosition: bigint;
  openedAt: Date;
  network: string;
  descriptor: string | null;
  changeDescriptor: string | null;
  signer: string;
  confirmedSats: bigint;
  immatureSats: bigint;
}

interface Row {
  wallet_id: string;
  opened_position: bigint;
  recorded_at: Date;
  network: string;
  descriptor: string | null;
  change_descriptor: string | null;
  signer: string;
  confirmed_sats: bigint;
  immature_sats: bigint;
}

/** These wallets with what they hold, as of a moment; those that were not there then are left out. */
export async function readWallets(
  database: ReadDatabase,
  at: ResolvedAsOf,
  walletIds: readonly string[],
): Promise<Map<string, WalletRecord>> {
  const rows = await database.rows<Row>(
    'query.read-wallets',
    `${walletsSql(database.schema)} AND w.wallet_id = ANY($4::text[])`,
    [...moment(at), walletIds],
  );
  return new Map(rows.map((row) => [row.wallet_id, toRecord(row)]));
}

/** Newest first, after the wallet that was made at `before`. */
export async function listWallets(
  database: ReadDatabase,
  at: ResolvedAsOf,
  page: { before: bigint | undefined; limit: number },
): Promise<WalletRecord[]> {
  const rows = await database.rows<Row>(
    'query.list-wallets',
    `${walletsSql(database.schema)} AND w.opened_position < $4::bigint ORDER BY w.opened_position DESC LIMIT $5::int`,
    [...moment(at), page.before ?? at.position + 1n, page.limit],
  );
  return rows.map(toRecord);
}

/** Coins that no connected block holds (any more) and that may still confirm, by wallet. */
export async function readUnconfirmed(
  { schema, rows }: ReadDatabase,
  at: ResolvedAsOf,
  walletIds: readonly string[],
): Promise<Map<string, bigint>> {
  // A transfer that is confirmed where it was first seen cannot be one: its index leaves nearly all rows out.
  const found = await rows<{ wallet_id: string; sats: bigint }>(
    'query.read-unconfirmed',
    `SELECT t.wallet_id, sum(t.amount_sats)::bigint AS sats FROM ${schema}.transfer t
     WHERE t.wallet_id = ANY($3::text[]) AND ${MOVED}
       AND ${validAt('t', '$1::bigint')} AND t.direction = 'IN' AND NOT t.coinbase AND t.first_height <= $2::int
       AND (t.block_height IS NULL OR t.block_height > $2::int)
       AND (t.conflict_height IS NULL OR t.conflict_height > $2::int)
     GROUP BY t.wallet_id`,
    [at.chainPosition, at.ceiling, walletIds],
  );
  return new Map(found.map(({ wallet_id: id, sats }) => [id, sats]));
}

/** `$1` position, `$2` chain position, `$3` height. */
function moment(at: ResolvedAsOf): unknown[] {
  return [at.position, at.chainPosition, at.ceiling];
}

function walletsSql(schema: string): string {
  const chain = ladderAt(`${schema}.wallet_chain`, {
    key: 'wallet_id',
    equals: 'w.wallet_id',
    columns: ['confirmed_sats', 'immature_sats'],
    height: '$3::int',
    position: '$2::bigint',
  });
  return `SELECT w.wallet_id, w.opened_position, w.recorded_at, w.network, w.descriptor, w.change_descriptor, w.signer,
      coalesce(c.confirmed_sats, 0) AS confirmed_sats, coalesce(c.immature_sats, 0) AS immature_sats
    FROM ${schema}.wallet w
    LEFT JOIN LATERAL (${chain}) c ON true
    WHERE w.opened_position <= $1::bigint AND w.opened_height <= $3::int`;
}

function toRecord(row: Row): WalletRecord {
  return {
    walletId: row.wallet_id,
    openedPosition: row.opened_position,
    openedAt: row.recorded_at,
    network: row.network,
    descriptor: row.descriptor,
    changeDescriptor: row.change_descriptor,
    signer: row.signer,
    confirmedSats: row.confirmed_sats,
    immatureSats: row.immature_sats,
  };
}
