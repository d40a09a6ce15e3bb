import type { Queryable } from '../log-reader.js';
import { quoted, readSchema } from '../tables/identifiers.js';

/** Ids of the first wallets that have a descriptor, so that payments can be made from them. */
export async function readWalletsWithDescriptor(database: Queryable, ledger: string, limit: number): Promise<string[]> {
  const { rows } = await database.query<{ wallet_id: string }>({
    name: `wallets_with_descriptor.${ledger}`,
    text: `SELECT wallet_id FROM ${quoted(readSchema(ledger))}.wallet
      WHERE descriptor IS NOT NULL ORDER BY opened_position LIMIT $1`,
    values: [limit],
  });
  return rows.map(({ wallet_id }) => wallet_id);
}
