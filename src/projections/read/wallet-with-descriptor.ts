import type { Queryable } from '../log-reader.js';
import { quoted, readSchema } from '../tables/identifiers.js';

/**
 * A wallet that has one of these descriptors, which are given without key origin and checksum: the same keys under
 * another origin are the same scripts. Wallets are few, so this reads them all.
 */
export async function readWalletWithDescriptor(
  database: Queryable,
  ledger: string,
  descriptorKeys: readonly string[],
): Promise<string | undefined> {
  const bare = (column: string): string => `regexp_replace(${column}, '\\[[^\\]]*\\]|#.*$', '', 'g')`;
  const { rows } = await database.query<{ wallet_id: string }>({
    name: `wallet_with_descriptor.${ledger}`,
    text: `SELECT wallet_id FROM ${quoted(readSchema(ledger))}.wallet
      WHERE ${bare('descriptor')} = ANY($1::text[]) OR ${bare('change_descriptor')} = ANY($1::text[])
      ORDER BY opened_position LIMIT 1`,
    values: [descriptorKeys],
  });
  return rows[0]?.wallet_id;
}
