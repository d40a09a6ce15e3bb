import { POSITION_INFINITY } from '../../platform/postgres/pool.js';
import type { ReadDatabase } from './database.js';
import { validAt } from './fragments.js';
import { MOVED } from './list-transfers.js';

/** Candidates beyond a page: of few it turns out that the chain says more of them than their stage does. */
export const SPARE_CANDIDATES = 20;

/**
 * Rows of a table of stages that were valid at position `$1` and that fit, the highest `order` first and at most `limit` of those that
 * are valid now. What has ended since is found by its end: few, unless the position is an old one.
 */
export function stagesAt(
  table: string,
  { columns, condition, order, limit }: { columns: string; condition: string; order: string; limit: string },
): string {
  const counts = `x.from_position <= $1::bigint AND ${condition}`;
  return `(SELECT ${columns} FROM ${table} x WHERE x.to_position = ${POSITION_INFINITY} AND ${counts}
      ORDER BY ${order} DESC LIMIT ${limit})
    UNION ALL
    (SELECT ${columns} FROM ${table} x
      WHERE x.to_position > $1::bigint AND x.to_position < ${POSITION_INFINITY} AND ${counts})`;
}

/** The same without an order and a limit, for counting: what is unusual, or all that is not. */
export function allStagesAt(table: string, columns: string, isUnusual: boolean): string {
  const counts = `x.from_position <= $1::bigint AND ${isUnusual ? '' : 'NOT '}x.is_unusual`;
  return `SELECT ${columns} FROM ${table} x WHERE x.to_position = ${POSITION_INFINITY} AND ${counts}
    UNION ALL
    SELECT ${columns} FROM ${table} x
    WHERE x.to_position > $1::bigint AND x.to_position < ${POSITION_INFINITY} AND ${counts}`;
}

/**
 * Ids of payouts that are over and may nevertheless have any status: those with a payment that a reorg has moved (of open ones too),
 * those that are not final at a tip that is lower than it was (the ceiling `$3` is the greatest that it was), and those that people have resolved. Few, each with an index of its own.
 *
 * BETWEEN, because of that the planner expects few rows where it does not know the tip; of an inequality it expects a third of all.
 */
export function movedPayouts(schema: string): string {
  return `SELECT c.payout_id FROM ${schema}.transfer t JOIN ${schema}.candidate_tx c ON c.txid = t.txid
      WHERE ${MOVED} AND t.direction = 'OUT' AND ${validAt('t', '$2::bigint')}
    UNION
    SELECT x.payout_id FROM ${schema}.payout x
      WHERE NOT x.is_open AND x.final_height BETWEEN $4::int + 1 AND $3::int AND x.from_position <= $1::bigint
    UNION
    SELECT x.payout_id FROM ${schema}.payout x
      WHERE NOT x.is_open AND x.resolved IS NOT NULL AND x.from_position <= $1::bigint`;
}

/** Status of a withdrawal by its stage in `s`, and whether a mined one is complete at the tip's height. */
export const STATUS_OF_STAGE = `CASE WHEN s.stage <> 'mined' THEN s.stage WHEN s.is_complete THEN 'completed' ELSE 'confirming' END`;

/** `$6` limits in minutes by status, `$7` the time that they are judged at. False of statuses that have no limit. */
export function isOverdue(status: string, since: string): string {
  return `coalesce(${since} <= $7::timestamptz - make_interval(mins => ($6::jsonb->>${status})::int), false)`;
}

/**
 * Whether row `s` is in its stage for longer than the limit of the status that the stage is, where it has one. What each limit means is
 * worked out once, not for each row: that was two thirds of the time that it takes to count 10,000.
 */
export const IS_LATE_IN_STAGE = `coalesce(s.since <= CASE s.stage ${(
  [
    ['requested', 'requested'],
    ['prepared', 'prepared'],
    ['signed', 'signed'],
    ['broadcast', 'broadcast'],
    ['mined', 'confirming'],
  ] as const
)
  .map(
    ([stage, status]) =>
      `WHEN '${stage}' THEN (SELECT $7::timestamptz - make_interval(mins => ($6::jsonb->>'${status}')::int))`,
  )
  .join(' ')} END, false)`;

/** SQL that lists ids to look at: those of a page and some more, or the whole of them. */
export type Candidates = (isWhole: boolean) => string;

/**
 * A page of `list`, which judges the candidates that `candidates` names. Where it judged too many of them otherwise to fill
 * the page, once more among all of them.
 */
export async function listAmong<R extends object>(
  database: ReadDatabase,
  name: string,
  candidates: Candidates,
  list: (among: string) => string,
  values: unknown[],
  limit: number,
): Promise<R[]> {
  const ask = async (isWhole: boolean): Promise<{ rows: R[]; looked: bigint }> => {
    const found = await database.rows<R & { looked: bigint; is_found: boolean | null }>(
      name,
      `WITH few AS MATERIALIZED (${candidates(isWhole)})
       SELECT q.*, t.looked FROM (SELECT count(*) AS looked FROM few) t
       LEFT JOIN LATERAL (SELECT q.*, true AS is_found FROM (${list('SELECT * FROM few')}) q) q ON true
       ORDER BY q.position DESC`,
      values,
    );
    return { rows: found.filter(({ is_found: isFound }) => isFound === true), looked: found[0]?.looked ?? 0n };
  };
  const { rows, looked } = await ask(false);
  if (rows.length >= limit || looked < BigInt(limit + SPARE_CANDIDATES)) return rows;
  return (await ask(true)).rows;
}
