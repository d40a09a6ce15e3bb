import type { PaidWithdrawal } from '../../domain/events/payout-events.js';
import type { Branch, Signer } from '../../domain/events/wallet-events.js';
import type { WaitReason } from '../../domain/events/withdrawal-events.js';
import { POSITION_INFINITY } from '../../platform/postgres/pool.js';
import type { Queryable } from '../log-reader.js';
import type { Tip } from '../projection.js';
import type { Progress } from '../progress.js';
import { quoted, readSchema } from '../tables/identifiers.js';
import { readChainFacts } from './payout-chain-facts.js';
import type { PayoutChainFacts } from './payout-chain-facts.js';
import { readCoins, readSpendableCoins } from './payout-coins.js';
import type { KnownCoin, SpendableCoin } from './payout-coins.js';

export interface PayoutWorkOptions {
  database: Queryable;
  ledger: string;
  progress: Pick<Progress, 'waitFor'>;
}

/** Read models that these questions are asked of. */
const MODELS = ['payouts', 'transfers', 'wallets', 'blocks'] as const;

/** Waiting withdrawals of a wallet that are counted: more than any batch takes. */
const MAX_COUNTED = 500;

/**
 * What is to be done for withdrawals and payouts now. Every question has an index of its own over the rows that answer it: it costs
 * what it returns, however many payouts are open. Answers may be a moment old.
 */
export interface PayoutWork {
  waitFor(position: bigint, timeoutMs: number): Promise<bigint>;
  tip(): Promise<Tip | null>;
  wallet(walletId: string): Promise<WorkWallet | undefined>;
  walletsWithWaiting(limit: number): Promise<WalletWaiting[]>;
  waitingWithdrawals(walletId: string, after: bigint, limit: number): Promise<WaitingWithdrawal[]>;
  frozenAccounts(accountIds: readonly string[]): Promise<Set<string>>;
  spendableCoins(walletId: string, limit: number): Promise<SpendableCoin[]>;
  coins(outpoints: readonly string[]): Promise<KnownCoin[]>;
  unconfirmedPayouts(walletId: string, limit: number): Promise<string[]>;
  openPayouts(after: string | null, limit: number): Promise<string[]>;
  duePayouts(after: string | null, limit: number): Promise<string[]>;
  payoutsToFinish(limit: number): Promise<string[]>;
  withdrawalsToFinish(limit: number): Promise<UnfinishedWithdrawal[]>;
  payoutsOfCoins(outpoints: readonly string[]): Promise<string[]>;
  chainFacts(payoutId: string): Promise<PayoutChainFacts | undefined>;
}

export interface WorkWallet {
  walletId: string;
  descriptor: string | null;
  changeDescriptor: string | null;
  signer: Signer;
}

export interface WalletWaiting {
  walletId: string;
  oldestAt: Date;
  /** At most 500. */
  waiting: number;
}

export interface WaitingWithdrawal extends PaidWithdrawal {
  confirmationTarget: number;
  /** Position of its request. */
  position: bigint;
  requestedAt: Date;
  deferred: { reason: WaitReason; detail: string } | null;
}

export interface UnfinishedWithdrawal {
  withdrawalId: string;
  accountId: string;
  payoutId: string | null;
  isCancelled: boolean;
  reason: string | null;
}

export function createPayoutWork({ database, ledger, progress }: PayoutWorkOptions): PayoutWork {
  const schema = quoted(readSchema(ledger));
  const now = (alias: string): string => `${alias}.to_position = ${POSITION_INFINITY}`;
  const ask = async <R extends object>(name: string, text: string, values: unknown[]): Promise<R[]> =>
    (await database.query<R>({ name: `work.${name}.${ledger}`, text, values })).rows;
  const ids = async (name: string, text: string, values: unknown[]): Promise<string[]> =>
    (await ask<{ id: string }>(name, text, values)).map(({ id }) => id);

  return {
    waitFor: (position, timeoutMs) => progress.waitFor(position, MODELS, timeoutMs),

    tip: async () => {
      const [row] = await ask<{ height: number; hash: string }>(
        'tip',
        `SELECT t.height, t.hash FROM ${schema}.chain_tip t WHERE ${now('t')}`,
        [],
      );
      return row ?? null;
    },

    wallet: async (walletId) => {
      const [row] = await ask<{ descriptor: string | null; change_descriptor: string | null; signer: Signer }>(
        'wallet',
        `SELECT descriptor, change_descriptor, signer FROM ${schema}.wallet WHERE wallet_id = $1`,
        [walletId],
      );
      if (row === undefined) return undefined;
      return { walletId, descriptor: row.descriptor, changeDescriptor: row.change_descriptor, signer: row.signer };
    },

    walletsWithWaiting: async (limit) => {
      // Wallets are few: one look into the index for each.
      const rows = await ask<{ wallet_id: string; oldest_at: Date; waiting: bigint }>(
        'wallets_with_waiting',
        `SELECT w.wallet_id, min(x.recorded_at) AS oldest_at, count(*) AS waiting
         FROM ${schema}.wallet w CROSS JOIN LATERAL (
           SELECT r.recorded_at, v.requested_position
           FROM ${schema}.withdrawal v JOIN ${schema}.withdrawal_request r ON r.withdrawal_id = v.withdrawal_id
           WHERE v.wallet_id = w.wallet_id AND v.is_open AND v.payout_id IS NULL AND ${now('v')}
           ORDER BY v.requested_position LIMIT ${MAX_COUNTED}) x
         GROUP BY w.wallet_id ORDER BY min(x.requested_position) LIMIT $1`,
        [limit],
      );
      return rows.map((row) => ({
        walletId: row.wallet_id,
        oldestAt: row.oldest_at,
        waiting: Number(row.waiting),
      }));
    },

    waitingWithdrawals: async (walletId, after, limit) => {
      const rows = await ask<WaitingRow>(
        'waiting_withdrawals',
        `SELECT r.withdrawal_id, r.account_id, r.address, r.script, r.amount_sats, r.max_fee_sats, r.confirmation_target,
                r.recorded_at, v.state, v.reason, v.detail, v.requested_position
         FROM ${schema}.withdrawal v JOIN ${schema}.withdrawal_request r ON r.withdrawal_id = v.withdrawal_id
         WHERE v.wallet_id = $1 AND v.is_open AND v.payout_id IS NULL AND ${now('v')}
           AND v.requested_position > $3
         ORDER BY v.requested_position LIMIT $2`,
        [walletId, limit, after],
      );
      return rows.map(toWaiting);
    },

    frozenAccounts: async (accountIds) =>
      new Set(
        await ids(
          'frozen_accounts',
          `SELECT k.id FROM unnest($1::text[]) AS k(id)
           LEFT JOIN LATERAL (
             SELECT r.matured_sats FROM ${schema}.account_chain r
             WHERE r.account_id = k.id AND ${now('r')} ORDER BY r.height DESC, r.from_position DESC LIMIT 1) c ON true
           LEFT JOIN LATERAL (
             SELECT r.received_sats - r.sent_sats - r.reserved_sats AS net FROM ${schema}.account_books r
             WHERE r.account_id = k.id ORDER BY r.height DESC, r.from_position DESC LIMIT 1) b ON true
           WHERE coalesce(c.matured_sats, 0) + coalesce(b.net, 0) < 0`,
          [accountIds],
        ),
      ),

    spendableCoins: (walletId, limit) => readSpendableCoins(database, ledger, walletId, limit),
    coins: (outpoints) => readCoins(database, ledger, outpoints),

    unconfirmedPayouts: (walletId, limit) =>
      ids(
        'unconfirmed_payouts',
        `SELECT w.payout_id AS id FROM ${schema}.payout_work w
         WHERE w.wallet_id = $1 AND w.is_unconfirmed AND ${now('w')} ORDER BY w.started_position DESC LIMIT $2`,
        [walletId, limit],
      ),

    openPayouts: (after, limit) =>
      ids(
        'open_payouts',
        `SELECT p.payout_id AS id FROM ${schema}.payout p
         WHERE p.is_open AND p.phase IN ('started', 'prepared', 'signed') AND ${now('p')} AND p.payout_id > $1
         ORDER BY p.payout_id LIMIT $2`,
        [after ?? '', limit],
      ),

    duePayouts: (after, limit) => {
      // Each part has the index of its own condition; only the foreign spends and halted payouts are looked at one by one, and those are rare.
      const due = (column: string): string =>
        `(SELECT w.payout_id FROM ${schema}.payout_work w, tip
          WHERE w.${column} IS NOT NULL AND ${now('w')} AND w.${column} <= tip.height AND w.payout_id > $1)`;
      return ids(
        'due_payouts',
        `WITH tip AS MATERIALIZED (SELECT t.height FROM ${schema}.chain_tip t WHERE ${now('t')})
         SELECT payout_id AS id FROM (
           ${due('complete_height')} UNION ${due('final_height')} UNION ${due('target_height')}
           UNION
           (SELECT f.payout_id FROM ${schema}.foreign_spend f JOIN ${schema}.payout_work w ON w.payout_id = f.payout_id
            WHERE ${now('f')} AND ${now('w')} AND NOT w.is_halted AND NOT w.is_over AND f.payout_id > $1)
           UNION
           (SELECT p.payout_id FROM ${schema}.payout p
            WHERE p.halted_by_txid IS NOT NULL AND ${now('p')} AND p.payout_id > $1
              AND NOT EXISTS (SELECT FROM ${schema}.foreign_spend f
                WHERE f.payout_id = p.payout_id AND f.by_txid = p.halted_by_txid AND ${now('f')}))
         ) d ORDER BY payout_id LIMIT $2`,
        [after ?? '', limit],
      );
    },

    payoutsToFinish: (limit) =>
      ids(
        'payouts_to_finish',
        `SELECT id FROM (
           (SELECT DISTINCT v.payout_id AS id FROM (
              SELECT v.payout_id FROM ${schema}.withdrawal v
              WHERE v.due IN ('settle', 'fail') AND v.due IS NOT NULL AND ${now('v')} AND v.payout_id IS NOT NULL
              ORDER BY v.due, v.requested_position LIMIT ${MAX_UNFINISHED}) v)
           UNION
           (SELECT w.payout_id FROM ${schema}.payout_work w WHERE w.is_over AND ${now('w')} LIMIT $1)
         ) f LIMIT $1`,
        [limit],
      ),

    withdrawalsToFinish: async (limit) => {
      const rows = await ask<UnfinishedRow>(
        'withdrawals_to_finish',
        `SELECT v.withdrawal_id, r.account_id, v.payout_id, v.state, v.reason
         FROM ${schema}.withdrawal v JOIN ${schema}.withdrawal_request r ON r.withdrawal_id = v.withdrawal_id
         WHERE v.due = 'cancel' AND v.due IS NOT NULL AND ${now('v')} ORDER BY v.requested_position LIMIT $1`,
        [limit],
      );
      return rows.map((row) => ({
        withdrawalId: row.withdrawal_id,
        accountId: row.account_id,
        payoutId: row.payout_id,
        isCancelled: row.state === 'cancelled',
        reason: row.reason,
      }));
    },

    payoutsOfCoins: (outpoints) =>
      ids(
        'payouts_of_coins',
        `SELECT DISTINCT r.payout_id AS id FROM ${schema}.coin_reservation r
         WHERE r.outpoint = ANY($1::text[]) AND r.held AND ${now('r')}`,
        [outpoints],
      ),

    chainFacts: (payoutId) => readChainFacts(database, ledger, payoutId),
  };
}

/** Withdrawals of settled payouts that are looked at for one answer: of some payouts, each with as many as an event holds. */
const MAX_UNFINISHED = 2_000;

interface WaitingRow {
  withdrawal_id: string;
  account_id: string;
  address: string;
  script: string;
  amount_sats: bigint;
  max_fee_sats: bigint | null;
  confirmation_target: number;
  recorded_at: Date;
  requested_position: bigint;
  state: string;
  reason: WaitReason | null;
  detail: string | null;
}

interface UnfinishedRow {
  withdrawal_id: string;
  account_id: string;
  payout_id: string | null;
  state: string;
  reason: string | null;
}

function toWaiting(row: WaitingRow): WaitingWithdrawal {
  return {
    withdrawalId: row.withdrawal_id,
    accountId: row.account_id,
    address: row.address,
    script: row.script,
    amountSats: String(row.amount_sats),
    maxFeeSats: row.max_fee_sats === null ? null : String(row.max_fee_sats),
    confirmationTarget: row.confirmation_target,
    position: row.requested_position,
    requestedAt: row.recorded_at,
    deferred: row.state === 'deferred' && row.reason !== null ? { reason: row.reason, detail: row.detail ?? '' } : null,
  };
}

/** Where a coin stands in its wallet's descriptor. */
export interface Derivation {
  branch: Branch;
  index: number;
}
