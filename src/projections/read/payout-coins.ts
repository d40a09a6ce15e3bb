import type { Branch } from '../../domain/events/wallet-events.js';
import { POSITION_INFINITY } from '../../platform/postgres/pool.js';
import type { Queryable } from '../log-reader.js';
import { quoted, readSchema } from '../tables/identifiers.js';

export interface KnownCoin {
  /** `txid:vout` */
  outpoint: string;
  amountSats: bigint;
  /** Hex. */
  script: string;
  /** Null for a script watched by hand: such a coin is never spent here. */
  derivation: { branch: Branch; index: number } | null;
  /** Of the connected block that holds it; null where none does. */
  blockHash: string | null;
  height: number | null;
}

export interface SpendableCoin extends KnownCoin {
  blockHash: string;
  height: number;
}

interface CoinRecord {
  outpoint: string;
  amount_sats: bigint;
  script: string;
  branch: Branch | null;
  index: number | null;
  created_hash: string | null;
  created_height: number | null;
}

/** Confirmations from which a coinbase may be spent (Bitcoin Core, `COINBASE_MATURITY`). */
const COINBASE_MATURITY = 100;

/**
 * Unspent coins in connected blocks that may be spent now and that no payout holds, largest first. Reads those alone, however many
 * are held.
 */
export async function readSpendableCoins(
  database: Queryable,
  ledger: string,
  walletId: string,
  limit: number,
): Promise<SpendableCoin[]> {
  const schema = quoted(readSchema(ledger));
  const { rows } = await database.query<CoinRecord>({
    name: `work.spendable_coins.${ledger}`,
    text: `
      SELECT ${columns()}
      FROM ${schema}.spendable_coin c
      WHERE c.wallet_id = $1 AND c.created_height IS NOT NULL AND c.held_by IS NULL
        -- The next block may spend what is in its hundredth by then (Bitcoin Core judges by the height of the spend).
        AND (NOT c.coinbase OR c.created_height + ${COINBASE_MATURITY - 1} <=
             (SELECT t.height FROM ${schema}.chain_tip t WHERE t.to_position = ${POSITION_INFINITY}))
      ORDER BY c.amount_sats DESC LIMIT $2`,
    values: [walletId, limit],
  });
  return rows.map(toCoin).filter(isInBlock);
}

/** What is known of these coins, reserved ones too; those that never were in a block are not in the answer. */
export async function readCoins(
  database: Queryable,
  ledger: string,
  outpoints: readonly string[],
): Promise<KnownCoin[]> {
  const schema = quoted(readSchema(ledger));
  const { rows } = await database.query<CoinRecord>({
    name: `work.coins.${ledger}`,
    text: `
      SELECT ${columns()}
      FROM unnest($1::text[], $2::int[]) AS wanted(txid, vout)
      JOIN ${schema}.coin c ON c.txid = wanted.txid AND c.vout = wanted.vout AND c.to_position = ${POSITION_INFINITY}`,
    values: [
      outpoints.map((outpoint) => outpoint.slice(0, 64)),
      outpoints.map((outpoint) => Number(outpoint.slice(65))),
    ],
  });
  return rows.map(toCoin);
}

function columns(): string {
  return `c.txid || ':' || c.vout AS outpoint, c.amount_sats, c.script, c.branch, c."index", c.created_hash, c.created_height`;
}

function toCoin(row: CoinRecord): KnownCoin {
  const { branch, index } = row;
  return {
    outpoint: row.outpoint,
    amountSats: row.amount_sats,
    script: row.script,
    derivation: branch === null || index === null ? null : { branch, index },
    blockHash: row.created_hash,
    height: row.created_height,
  };
}

function isInBlock(coin: KnownCoin): coin is SpendableCoin {
  return coin.blockHash !== null && coin.height !== null;
}
