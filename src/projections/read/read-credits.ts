import type { Queryable } from '../log-reader.js';
import { quoted, readSchema } from '../tables/identifiers.js';

export interface Credits {
  /** Matured deposits and received transfers, by account; every account that was asked for is in it. */
  credits: Map<string, bigint>;
  /** Those of the accounts that are open. */
  opened: Set<string>;
  /** Position at which all of this was read. */
  position: bigint;
}

/** What came in to each account up to the position that the read model has reached. One statement: one moment. */
export async function readCredits(
  database: Queryable,
  ledger: string,
  accountIds: readonly string[],
): Promise<Credits> {
  const schema = quoted(readSchema(ledger));
  const { rows } = await database.query<{ position: bigint; id: string | null; credit: string; opened: boolean }>({
    name: `read_credits.${ledger}`,
    text: `
      SELECT p.position, k.id, (coalesce(c.matured_sats, 0) + coalesce(b.received_sats, 0))::text AS credit,
             EXISTS (SELECT FROM ${schema}.account a WHERE a.account_id = k.id) AS opened
      FROM projection_checkpoint p
      LEFT JOIN unnest($2::text[]) AS k(id) ON true
      LEFT JOIN LATERAL (
        SELECT r.matured_sats FROM ${schema}.account_chain r
        WHERE r.account_id = k.id AND r.to_position = 9223372036854775807
        ORDER BY r.height DESC, r.from_position DESC LIMIT 1) c ON true
      LEFT JOIN LATERAL (
        SELECT r.received_sats FROM ${schema}.account_books r WHERE r.account_id = k.id
        ORDER BY r.height DESC, r.from_position DESC LIMIT 1) b ON true
      WHERE p.ledger = $1 AND p.name = 'accounts'`,
    values: [ledger, accountIds],
  });
  const named = rows.flatMap(({ id, ...row }) => (id === null ? [] : [{ id, ...row }]));
  return {
    credits: new Map(named.map(({ id, credit }) => [id, BigInt(credit)])),
    opened: new Set(named.filter(({ opened }) => opened).map(({ id }) => id)),
    position: rows[0]?.position ?? 0n,
  };
}
