import type pg from 'pg';
import { readCheckpoints } from '../checkpoint.js';
import { quoted, readSchema } from '../tables/identifiers.js';
import { readTip } from './read-tip.js';
import type { TipAt } from './read-tip.js';
import { SCRIPT_COLUMNS, scriptOwner } from './script-owners.js';
import type { ScriptOwner, ScriptRecord } from './script-owners.js';

/** A coin of a connected block that no connected block spends. */
export interface UnspentCoin {
  txid: string;
  vout: number;
  amountSats: bigint;
  script: string;
  address: string | null;
  walletId: string;
  accountId: string | null;
  coinbase: boolean;
  createdHeight: number;
}

export interface ConnectedBlock {
  hash: string;
  height: number;
  /** Null, like time and bits, only for a start block of which no more is known. */
  prevHash: string | null;
  time: number | null;
  bits: number | null;
  /** Of its `BlockConnected` on the chain's stream. */
  revision: bigint;
}

/** What the follower must know to go on. Everything as of one position. */
export interface FollowerState {
  /** The lowest that the read models in question have reached. Chain events after it are missing here. */
  position: bigint;
  tip: TipAt | null;
  /** Ascending by height; the first is where the chain was opened. */
  blocks: ConnectedBlock[];
  scripts: ScriptOwner[];
  unspent: UnspentCoin[];
  /** Inputs of transactions that concerned us, lost their block and are in none: `txid:vout` and the transaction. */
  orphanInputs: { outpoint: string; txid: string }[];
}

/** The projections that this reads: wait for these before. */
export const FOLLOWER_PROJECTIONS = ['blocks', 'wallets', 'transfers'] as const;

/** Reads what the follower starts with, in one snapshot. */
export async function loadFollowerState(pool: pg.Pool, ledger: string): Promise<FollowerState> {
  const client = await pool.connect();
  try {
    await client.query('BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const state = await load(client, ledger);
    await client.query('COMMIT');
    client.release();
    return state;
  } catch (error) {
    // The transaction ends with the connection.
    client.release(true);
    throw error;
  }
}

async function load(client: pg.PoolClient, ledger: string): Promise<FollowerState> {
  const checkpoints = await readCheckpoints(client, ledger);
  const positions = FOLLOWER_PROJECTIONS.map((name) => checkpoints.get(name)?.position ?? 0n);
  const position = positions.reduce((lowest, candidate) => (candidate < lowest ? candidate : lowest));
  if (FOLLOWER_PROJECTIONS.some((name) => !checkpoints.has(name))) {
    return { position, tip: null, blocks: [], scripts: [], unspent: [], orphanInputs: [] };
  }
  const schema = quoted(readSchema(ledger));
  const valid = 'from_position <= $1 AND to_position > $1';
  const select = async <R extends pg.QueryResultRow>(sql: string): Promise<R[]> =>
    (await client.query<R>(sql, [position])).rows;
  const blocks = await select<BlockRecord>(
    `SELECT hash, height, prev_hash, time, bits, revision FROM ${schema}.block WHERE ${valid} ORDER BY height`,
  );
  const scripts = await select<ScriptRecord>(
    `SELECT ${SCRIPT_COLUMNS} FROM ${schema}.script WHERE ${valid} ORDER BY position`,
  );
  const coins = await select<CoinRecord>(
    `SELECT txid, vout, amount_sats, script, address, wallet_id, account_id, coinbase, created_height FROM ${schema}.coin
     WHERE ${valid} AND created_height IS NOT NULL AND spent_height IS NULL ORDER BY seq, txid, vout`,
  );
  const orphanInputs = await select<{ outpoint: string; txid: string }>(
    `SELECT outpoint, txid FROM ${schema}.orphan_input WHERE ${valid} ORDER BY outpoint, txid`,
  );
  return {
    position,
    tip: await readTip(client, ledger, position),
    blocks: blocks.map(connectedBlock),
    scripts: scripts.map(scriptOwner),
    unspent: coins.map(unspentCoin),
    orphanInputs,
  };
}

interface BlockRecord {
  hash: string;
  height: number;
  prev_hash: string | null;
  time: bigint | null;
  bits: bigint | null;
  revision: bigint;
}

function connectedBlock({ hash, height, prev_hash: prevHash, time, bits, revision }: BlockRecord): ConnectedBlock {
  return {
    hash,
    height,
    prevHash,
    time: time === null ? null : Number(time),
    bits: bits === null ? null : Number(bits),
    revision,
  };
}

interface CoinRecord {
  txid: string;
  vout: number;
  amount_sats: bigint;
  script: string;
  address: string | null;
  wallet_id: string;
  account_id: string | null;
  coinbase: boolean;
  created_height: number;
}

function unspentCoin(record: CoinRecord): UnspentCoin {
  return {
    txid: record.txid,
    vout: record.vout,
    amountSats: record.amount_sats,
    script: record.script,
    address: record.address,
    walletId: record.wallet_id,
    accountId: record.account_id,
    coinbase: record.coinbase,
    createdHeight: record.created_height,
  };
}
