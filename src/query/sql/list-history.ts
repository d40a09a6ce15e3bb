import type { ResolvedAsOf } from '../as-of.js';
import type { ReadDatabase } from './database.js';
import { transactionsOfPayout } from './payment-sql.js';

export interface HistoryRecord {
  withdrawalId: string;
  position: bigint;
  id: string;
  stream: string;
  revision: bigint;
  type: string;
  data: unknown;
  metadata: unknown;
  recordedAt: Date;
  /** The payment that the event is about, where it is about one. */
  txid: string | null;
}

/** Events of one history: a life has some tens; of longer ones the newest. */
export const MAX_HISTORY = 1_000;

interface Row {
  withdrawal_id: string;
  position: bigint;
  id: string;
  stream: string;
  revision: bigint;
  type: string;
  data: unknown;
  metadata: unknown;
  recorded_at: Date;
  txid: string | null;
}

/**
 * What happened to these withdrawals, oldest first: on their own streams, their accounts', their payouts', to the payouts' coins, and
 * the blocks that held the payment and that were taken off with it. Of a payout that let go of the withdrawal, what happened until then. Of blocks the facts of the header: what else they hold is not
 * this withdrawal's.
 *
 * Events of the books count where the tip was at or below the height when they were recorded, blocks by their own.
 */
export async function listHistory(
  { schema, ledger, rows }: ReadDatabase,
  at: ResolvedAsOf,
  withdrawalIds: readonly string[],
): Promise<Map<string, HistoryRecord[]>> {
  const found = await rows<Row>(
    'query.list-history',
    `SELECT h.* FROM unnest($5::text[]) AS wanted(withdrawal_id)
     CROSS JOIN LATERAL (
       -- Every payout that ever named it, and where that one let go of it.
       WITH named AS MATERIALIZED (
         SELECT m.payout_id, CASE WHEN m.removed THEN m.from_position ELSE $1::bigint END AS until
         FROM (SELECT DISTINCT ON (x.payout_id) x.* FROM ${schema}.payout_member x
           WHERE x.withdrawal_id = wanted.withdrawal_id AND x.from_position <= $1::bigint AND x.height <= $3::int
           ORDER BY x.payout_id, x.from_position DESC) m)
       SELECT wanted.withdrawal_id, o.position, o.id, o.stream, o.revision, o.type, o.data - 'found' AS data, o.metadata,
              o.recorded_at, coalesce(e.txid, o.data->>'txid', o.data->'transaction'->>'txid', o.data->>'byTxid') AS txid
       FROM (
         SELECT p.position, max(p.txid) AS txid FROM (
           SELECT b.position, NULL::text AS txid FROM (
             -- Every event of its own, or of its account, made a version of it.
             SELECT w.from_position AS position FROM ${schema}.withdrawal w WHERE w.withdrawal_id = wanted.withdrawal_id
             UNION
             SELECT l.position FROM named n JOIN ${schema}.log l ON l.stream = 'payout-' || n.payout_id
             WHERE l.position <= n.until
             UNION
             SELECT r.from_position FROM named n JOIN ${schema}.coin_reservation r ON r.payout_id = n.payout_id
             WHERE r.from_position <= n.until
           ) b
           WHERE b.position <= $1::bigint AND (SELECT t.height FROM ${schema}.chain_tip t
             WHERE t.from_position <= b.position ORDER BY t.id DESC, t.from_position DESC LIMIT 1) <= $3::int
           UNION ALL
           SELECT t.from_position, x.txid
           FROM named n
           CROSS JOIN LATERAL (${transactionsOfPayout(schema, 'n.payout_id')}) x
           JOIN ${schema}.transfer t ON t.id = 'OUT:' || x.txid || ':0'
           JOIN outbox k ON k.ledger = $4::text AND k.position = t.from_position
           WHERE t.from_position <= $2::bigint AND t.from_position <= n.until AND x.kind = 'payment' AND (x.is_signed OR NOT x.is_void)
             AND (k.data->>'height')::int <= $3::int
         ) p GROUP BY p.position ORDER BY p.position DESC LIMIT ${MAX_HISTORY}
       ) e
       JOIN outbox o ON o.ledger = $4::text AND o.position = e.position
       WHERE o.type <> 'WithdrawalRemoved' OR o.data->>'withdrawalId' = wanted.withdrawal_id
     ) h ORDER BY h.withdrawal_id, h.position`,
    [at.position, at.chainPosition, at.ceiling, ledger, withdrawalIds],
  );
  const histories = new Map<string, HistoryRecord[]>(withdrawalIds.map((id) => [id, []]));
  for (const { withdrawal_id: withdrawalId, recorded_at: recordedAt, ...row } of found) {
    histories.get(withdrawalId)?.push({ withdrawalId, recordedAt, ...row });
  }
  return histories;
}
