import type { ResolvedAsOf } from '../as-of.js';
import type { ReadDatabase } from './database.js';
import { ladderAt, validAt } from './fragments.js';

export interface HeightBalanceRecord {
  height: number;
  blockHash: string;
  confirmedSats: bigint;
}

/**
 * What these wallets held at every height of a range, with the block that is believed to stand there. Fewer heights than
 * asked for where the ledger does not know all of the range.
 */
export async function readHeightBalances(
  database: ReadDatabase,
  at: ResolvedAsOf,
  walletIds: readonly string[],
  range: { from: number; to: number },
): Promise<Map<string, HeightBalanceRecord[]>> {
  const [blocks, steps] = await Promise.all([
    readBlockHashes(database, at, range),
    readSteps(database, at, walletIds, range),
  ]);
  const balances = new Map<string, HeightBalanceRecord[]>();
  for (const walletId of walletIds) {
    const mine = steps.get(walletId) ?? [];
    let next = 0;
    let confirmedSats = 0n;
    const filled = blocks.map(({ height, hash }) => {
      for (let step = mine[next]; step !== undefined && step.height <= height; step = mine[next]) {
        confirmedSats = step.confirmed_sats;
        next += 1;
      }
      return { height, blockHash: hash, confirmedSats };
    });
    balances.set(walletId, filled);
  }
  return balances;
}

async function readBlockHashes(
  { schema, rows }: ReadDatabase,
  at: ResolvedAsOf,
  range: { from: number; to: number },
): Promise<{ height: number; hash: string }[]> {
  return rows(
    'query.read-block-hashes',
    `SELECT b.height, b.hash FROM ${schema}.block b
     WHERE b.height BETWEEN $2::int AND $3::int AND ${validAt('b', '$1::bigint')} ORDER BY b.height`,
    [at.chainPosition, range.from, range.to],
  );
}

interface Step {
  wallet_id: string;
  height: number;
  confirmed_sats: bigint;
}

/** The rungs within the range, and the one that the range begins on. */
async function readSteps(
  { schema, rows }: ReadDatabase,
  at: ResolvedAsOf,
  walletIds: readonly string[],
  range: { from: number; to: number },
): Promise<Map<string, Step[]>> {
  const first = ladderAt(`${schema}.wallet_chain`, {
    key: 'wallet_id',
    equals: 'wanted.wallet_id',
    columns: ['wallet_id', 'height', 'confirmed_sats'],
    height: '$3::int',
    position: '$1::bigint',
  });
  const found = await rows<Step>(
    'query.read-height-steps',
    `SELECT s.* FROM unnest($2::text[]) AS wanted(wallet_id) CROSS JOIN LATERAL (
       (${first})
       UNION ALL
       SELECT w.wallet_id, w.height, w.confirmed_sats FROM ${schema}.wallet_chain w
       WHERE w.wallet_id = wanted.wallet_id AND w.height > $3::int AND w.height <= $4::int
         AND ${validAt('w', '$1::bigint')}
     ) s ORDER BY s.wallet_id, s.height`,
    [at.chainPosition, walletIds, range.from, range.to],
  );
  const steps = new Map<string, Step[]>(walletIds.map((id) => [id, []]));
  for (const step of found) steps.get(step.wallet_id)?.push(step);
  return steps;
}
