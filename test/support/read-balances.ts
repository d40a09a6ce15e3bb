import type { Queryable } from '../../src/projections/log-reader.js';
import { quoted, readSchema } from '../../src/projections/tables/identifiers.js';
import { heightLimit } from './read-at.js';
import type { ReadAt } from './read-at.js';

export interface AccountBalance {
  accountId: string;
  /** Matured deposits and received transfers, less what was sent. Below zero only where a reorg took a deposit back. */
  availableSats: bigint;
  reservedSats: bigint;
  /** Deposits in connected blocks that are not deep enough yet. */
  pendingSats: bigint;
  frozen: boolean;
}

interface BalanceRecord {
  id: string;
  deposited_sats: bigint | null;
  matured_sats: bigint | null;
  received_sats: bigint | null;
  sent_sats: bigint | null;
}

/** Balances of the accounts that were open then; the others are not in the map. One statement, two index walks per account. */
export async function readBalances(
  database: Queryable,
  ledger: string,
  accountIds: readonly string[],
  at: ReadAt,
): Promise<Map<string, AccountBalance>> {
  const schema = quoted(readSchema(ledger));
  const { rows } = await database.query<BalanceRecord>({
    name: `read_balances.${ledger}`,
    text: `
      SELECT a.account_id AS id, c.deposited_sats, c.matured_sats, b.received_sats, b.sent_sats
      FROM ${schema}.account a
      LEFT JOIN LATERAL (
        SELECT r.deposited_sats, r.matured_sats FROM ${schema}.account_chain r
        WHERE r.account_id = a.account_id AND r.height <= $4 AND r.from_position <= $3 AND r.to_position > $3
        ORDER BY r.height DESC, r.from_position DESC LIMIT 1) c ON true
      LEFT JOIN LATERAL (
        SELECT r.received_sats, r.sent_sats FROM ${schema}.account_books r
        WHERE r.account_id = a.account_id AND r.height <= $4 AND r.from_position <= $2
        ORDER BY r.height DESC, r.from_position DESC LIMIT 1) b ON true
      WHERE a.account_id = ANY($1::text[]) AND a.opened_position <= $2 AND a.opened_height <= $4`,
    values: [accountIds, at.position, at.chainPosition, heightLimit(at)],
  });
  return new Map(rows.map((record) => [record.id, balanceOf(record)]));
}

function balanceOf(record: BalanceRecord): AccountBalance {
  const matured = record.matured_sats ?? 0n;
  // Reservations come with withdrawals.
  const reservedSats = 0n;
  const availableSats = matured + (record.received_sats ?? 0n) - (record.sent_sats ?? 0n) - reservedSats;
  return {
    accountId: record.id,
    availableSats,
    reservedSats,
    pendingSats: (record.deposited_sats ?? 0n) - matured,
    frozen: availableSats < 0n,
  };
}
