import type { ResolvedAsOf } from '../as-of.js';
import type { ReadDatabase } from './database.js';
import { validAt } from './fragments.js';

export type TransferStatus = 'UNCONFIRMED' | 'CONFIRMED' | 'ORPHANED' | 'CONFLICTED';

export interface TransferRecord {
  id: string;
  direction: 'IN' | 'OUT';
  txid: string;
  index: number;
  walletId: string;
  accountId: string | null;
  amountSats: bigint;
  script: string;
  address: string | null;
  status: TransferStatus;
  /** Of the block that confirms it, null where none does. */
  blockHeight: number | null;
  blockHash: string | null;
  /** The transaction that spends its input, where it is CONFLICTED. */
  conflictTxid: string | null;
  seq: bigint;
}

export interface TransferCriteria {
  accountId?: string;
  walletId?: string;
  direction?: 'IN' | 'OUT';
  status?: TransferStatus;
  txid?: string;
  blockHash?: string;
}

export interface TransferPage {
  before: { seq: bigint; id: string } | undefined;
  limit: number;
}

interface Row {
  id: string;
  direction: 'IN' | 'OUT';
  txid: string;
  index: number;
  wallet_id: string;
  account_id: string | null;
  amount_sats: bigint;
  script: string;
  address: string | null;
  status: TransferStatus;
  block_height: number | null;
  block_hash: string | null;
  conflict_txid: string | null;
  seq: bigint;
}

/**
 * Transfers with their status as of a moment, newest first. There is a statement of its own for each combination of
 * criteria, so that each gets the plan that its indexes allow.
 */
export async function listTransfers(
  database: ReadDatabase,
  at: ResolvedAsOf,
  criteria: TransferCriteria,
  page: TransferPage,
): Promise<TransferRecord[]> {
  const before = page.before ?? { seq: at.chainBound + 1n, id: '' };
  const values: unknown[] = [at.chainPosition, at.ceiling, before.seq, before.id, page.limit];
  const conditions: string[] = [];
  let name = '';
  for (const [column, value] of [
    ['account_id', criteria.accountId],
    ['wallet_id', criteria.walletId],
    ['direction', criteria.direction],
    ['txid', criteria.txid],
    ['block_hash', criteria.blockHash],
  ] as const) {
    if (value === undefined) continue;
    values.push(value);
    conditions.push(`AND t.${column} = $${values.length}::text`);
    name += `-${column[0] ?? ''}${column.length}`;
  }
  if (criteria.blockHash !== undefined) conditions.push('AND t.block_height <= $2::int');
  if (criteria.status !== undefined) {
    conditions.push(STATUS_CONDITION[criteria.status]);
    name += `-${criteria.status}`;
  }
  const rows = await database.rows<Row>(
    `query.transfers${name}`,
    `SELECT ${transferColumns('t')} FROM ${database.schema}.transfer t
     WHERE t.seq <= $3::bigint AND (t.seq, t.id) < ($3::bigint, $4::text) AND t.first_height <= $2::int
       AND ${validAt('t', '$1::bigint')} ${conditions.join(' ')}
     ORDER BY t.seq DESC, t.id DESC LIMIT $5::int`,
    values,
  );
  return rows.map(toTransfer);
}

/**
 * What each of these blocks holds for us, in the order of being found; the transfers' own status is as of the moment. A block
 * that is not connected then is looked at when it last was (`memberAt`).
 */
export async function listBlockTransfers(
  { schema, rows }: ReadDatabase,
  at: ResolvedAsOf,
  blocks: readonly { hash: string; memberAt: bigint }[],
  limit: number,
): Promise<Map<string, TransferRecord[]>> {
  const found = await rows<Row & { member_of: string }>(
    'query.block-transfers',
    `SELECT wanted.hash AS member_of, x.* FROM unnest($3::text[], $4::bigint[]) AS wanted(hash, member_at)
     CROSS JOIN LATERAL (
       SELECT ${transferColumns('t')} FROM ${schema}.transfer m
       JOIN ${schema}.transfer t ON t.id = m.id AND ${validAt('t', '$1::bigint')}
       WHERE m.block_hash = wanted.hash AND ${validAt('m', 'wanted.member_at')} AND t.first_height <= $2::int
       ORDER BY t.seq, t.id LIMIT $5::int
     ) x`,
    [at.chainPosition, at.ceiling, blocks.map(({ hash }) => hash), blocks.map(({ memberAt }) => memberAt), limit],
  );
  const transfers = new Map<string, TransferRecord[]>(blocks.map(({ hash }) => [hash, []]));
  for (const row of found) transfers.get(row.member_of)?.push(toTransfer(row));
  return transfers;
}

/** `$2` is the height. Confirmed wins: a conflict counts only for what has no block. */
const STATUS_SQL = `CASE WHEN t.block_height <= $2::int THEN 'CONFIRMED'
  WHEN t.conflict_height <= $2::int THEN 'CONFLICTED' ELSE 'ORPHANED' END`;

/** What is not confirmed where it was first seen was moved by a reorg: few rows, with an index of their own. */
export const MOVED = 'least(coalesce(t.block_height - t.first_height, 1), 1) = 1';

const STATUS_CONDITION: Readonly<Record<TransferStatus, string>> = {
  CONFIRMED: 'AND t.block_height <= $2::int',
  CONFLICTED: `AND ${MOVED} AND (${STATUS_SQL}) = 'CONFLICTED'`,
  ORPHANED: `AND ${MOVED} AND (${STATUS_SQL}) = 'ORPHANED'`,
  // For what was never in a block; there is none yet.
  UNCONFIRMED: 'AND false',
};

function transferColumns(alias: 't'): string {
  const of = (column: string): string => `${alias}.${column}`;
  const plain = [
    'id',
    'direction',
    'txid',
    '"index"',
    'wallet_id',
    'account_id',
    'amount_sats',
    'script',
    'address',
    'seq',
  ];
  return `${plain.map(of).join(', ')}, ${STATUS_SQL} AS status,
    CASE WHEN t.block_height <= $2::int THEN t.block_height END AS block_height,
    CASE WHEN t.block_height <= $2::int THEN t.block_hash END AS block_hash,
    CASE WHEN t.conflict_height <= $2::int THEN t.conflict_txid END AS conflict_txid`;
}

function toTransfer(row: Row): TransferRecord {
  return {
    id: row.id,
    direction: row.direction,
    txid: row.txid,
    index: row.index,
    walletId: row.wallet_id,
    accountId: row.account_id,
    amountSats: row.amount_sats,
    script: row.script,
    address: row.address,
    status: row.status,
    blockHeight: row.block_height,
    blockHash: row.block_hash,
    conflictTxid: row.status === 'CONFLICTED' ? row.conflict_txid : null,
    seq: row.seq,
  };
}
