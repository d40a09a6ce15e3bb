import type pg from 'pg';
import type { MismatchList } from './mismatch.js';

/** Rows listed per check: one hole is enough to know. */
const LISTED_PER_CHECK = 100;

/**
 * The ledger's order up to `position`: positions 1, 2, 3 …, revisions 0, 1, 2 … in every stream, times that never go back, a head
 * that is the last position.
 */
export async function checkLog(
  client: pg.ClientBase,
  ledger: string,
  position: bigint,
  list: MismatchList,
): Promise<void> {
  const check = async (sql: string, where: string): Promise<void> => {
    const { rows } = await client.query<{ key: string; stored: string | null; expected: string | null }>(sql, [
      ledger,
      position,
    ]);
    for (const { key, stored, expected } of rows) list.add({ kind: 'log', where, key, stored, expected });
  };
  await check(
    `SELECT 'position ' || position AS key, position::text AS stored, (previous + 1)::text AS expected FROM (
       SELECT position, coalesce(lag(position) OVER (ORDER BY position), 0) AS previous
       FROM outbox WHERE ledger = $1 AND position <= $2::bigint) o
     WHERE position <> previous + 1 ORDER BY position LIMIT ${LISTED_PER_CHECK}`,
    'positions',
  );
  await check(
    `SELECT 'last position' AS key, coalesce(max(position), 0)::text AS stored, $2::bigint::text AS expected
     FROM outbox WHERE ledger = $1 AND position <= $2::bigint HAVING coalesce(max(position), 0) <> $2::bigint`,
    'positions',
  );
  await check(
    `SELECT stream || ' at position ' || position AS key, revision::text AS stored, (previous + 1)::text AS expected FROM (
       SELECT stream, position, revision,
              coalesce(lag(revision) OVER (PARTITION BY stream ORDER BY position), -1) AS previous
       FROM outbox WHERE ledger = $1 AND position <= $2::bigint) o
     WHERE revision <> previous + 1 ORDER BY position LIMIT ${LISTED_PER_CHECK}`,
    'revisions',
  );
  await check(
    `SELECT 'position ' || position AS key, recorded_at::text AS stored, 'not before ' || previous AS expected FROM (
       SELECT position, recorded_at, lag(recorded_at) OVER (ORDER BY position) AS previous
       FROM outbox WHERE ledger = $1 AND position <= $2::bigint) o
     WHERE recorded_at < previous ORDER BY position LIMIT ${LISTED_PER_CHECK}`,
    'times',
  );
  // The head only moves forward, and events behind it are in the same transaction: never below the last position seen.
  await check(
    `SELECT 'head' AS key, h.position::text AS stored, (SELECT max(position) FROM outbox WHERE ledger = $1)::text AS expected
     FROM ledger_head h WHERE ledger = $1 AND $2::bigint >= 0
       AND position <> (SELECT coalesce(max(position), 0) FROM outbox WHERE ledger = $1)`,
    'head',
  );
}
