import type pg from 'pg';
import type { CommandReads, ScriptOwner } from '../../src/command/ports.js';

/**
 * What commands read, computed from the log with each question: slow, and never behind. For tests of the command side alone;
 * that the read models say the same is tested with them.
 */
export function createLogReads(pool: pg.Pool, ledger: string): CommandReads {
  return {
    credits: async (accountIds) => {
      const { rows } = await pool.query<{ account: string; sats: string }>(
        `SELECT account, sum(sats)::text AS sats FROM (
           SELECT data->>'toAccountId' AS account, (data->>'amountSats')::numeric AS sats
           FROM outbox WHERE ledger = $1 AND type = 'TransferSent'
           UNION ALL
           SELECT r->>'accountId', (r->>'amountSats')::numeric
           FROM outbox, jsonb_array_elements(data->'found'->'received') r WHERE ledger = $1 AND type = 'BlockConnected'
         ) credits WHERE account = ANY($2) GROUP BY account`,
        [ledger, accountIds],
      );
      return new Map(rows.map(({ account, sats }) => [account, BigInt(sats)]));
    },
    scriptOwners: async (scripts) => {
      const { rows } = await pool.query<{ data: Record<string, unknown> }>(
        `SELECT data FROM outbox WHERE ledger = $1 AND type IN ('AddressIssued', 'ScriptWatched') AND data->>'script' = ANY($2)
         ORDER BY position DESC`,
        [ledger, scripts],
      );
      return new Map(rows.map(({ data }) => [data['script'] as string, ownerOf(data)]));
    },
    walletWithDescriptor: async (keys) => {
      const { rows } = await pool.query<{ id: string }>(
        `SELECT data->>'walletId' AS id FROM outbox WHERE ledger = $1 AND type = 'WalletCreated'
         AND (regexp_replace(data->>'descriptor', '\\[[^]]*\\]|#.*$', '', 'g') = ANY($2)
           OR regexp_replace(data->>'changeDescriptor', '\\[[^]]*\\]|#.*$', '', 'g') = ANY($2)) ORDER BY position LIMIT 1`,
        [ledger, keys],
      );
      return rows[0]?.id;
    },
    waitFor: (position) => Promise.resolve(position),
  };
}

function ownerOf(data: Record<string, unknown>): ScriptOwner {
  const { walletId, accountId, branch, index } = data as {
    walletId: string;
    accountId: string | null;
    branch?: number;
    index?: number;
  };
  const derivation = branch === undefined || index === undefined ? null : { branch, index };
  return { walletId, accountId, derivation };
}
