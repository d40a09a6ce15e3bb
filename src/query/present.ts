import { HEIGHT_BEFORE_CHAIN } from '../projections/projection.js';
import type { ResolvedAsOf } from './as-of.js';
import type { ReadDatabase } from './sql/database.js';
import { readTip } from './sql/read-chain.js';

/**
 * The newest moment that these read models have reached, as the database says: for those who ask once, without a server around them.
 * Undefined while one of them is not there or being built.
 */
export async function readPresent(
  database: ReadDatabase,
  models: readonly string[],
): Promise<ResolvedAsOf | undefined> {
  const [row] = await database.rows<{ position: bigint | null; ready: bigint }>(
    'query.read-present',
    `SELECT min(position) AS position, count(*) AS ready FROM projection_checkpoint
     WHERE ledger = $1 AND name = ANY($2::text[]) AND state <> 'rebuilding'`,
    [database.ledger, models],
  );
  const position = row?.position ?? null;
  if (row === undefined || position === null || row.ready < BigInt(models.length)) return undefined;
  const tip = await readTip(database, position);
  return {
    position,
    chainPosition: position,
    height: null,
    tip: tip === undefined ? null : { height: tip.height, hash: tip.hash },
    ceiling: tip?.highest ?? HEIGHT_BEFORE_CHAIN,
    chainBound: position,
    bookBound: position,
  };
}
