import type { ProjectedEvent } from '../projection.js';
import { keyText } from '../tables/row-table.js';
import { rowTable } from '../tables/table-definition.js';
import { flag, nullableInt, nullableText, sats, text } from './columns.js';
import type { CoinRow, TransferTables } from './transfer-tables.js';

/**
 * What a payment may choose from now: coins that a connected block holds and nobody has spent. And coins that a payout holds,
 * whatever became of them, so that a block that brings one back finds it held.
 *
 * What was at another position is in `coin` and `coin_reservation`. It stands apart from `coin`, whose rows end in place for it: an
 * index over what is unspent now would have an entry to write for every end.
 */
export interface SpendableCoinRow {
  txid: string;
  vout: number;
  wallet_id: string;
  amount_sats: bigint;
  script: string | null;
  coinbase: boolean;
  branch: number | null;
  index: number | null;
  /** Null where it is not there to be spent: held for a payout alone. */
  created_height: number | null;
  created_hash: string | null;
  /** The payout. */
  held_by: string | null;
}

/** Condition of the index: free to be chosen. */
export const IS_FREE = 'created_height IS NOT NULL AND held_by IS NULL';

export const spendableCoinTable = rowTable<SpendableCoinRow>({
  name: 'spendable_coin',
  columns: {
    txid: text,
    vout: { type: 'int' },
    wallet_id: text,
    amount_sats: sats,
    script: nullableText,
    coinbase: flag,
    branch: nullableInt,
    index: nullableInt,
    created_height: nullableInt,
    created_hash: nullableText,
    held_by: nullableText,
  },
  key: ['txid', 'vout'],
  presentOnly: true,
  indexes: [`wallet_id, amount_sats WHERE ${IS_FREE}`],
});

/** Whenever a coin's row has changed. */
export function keepSpendable(coin: CoinRow, { spendable }: TransferTables): void {
  const key = keyText(coin.txid, coin.vout);
  const row = spendable.get(key);
  const heldBy = row?.held_by ?? null;
  const isThere = coin.created_height !== null && coin.spent_height === null;
  if (!isThere && heldBy === null) {
    spendable.remove(key);
    return;
  }
  spendable.put({
    txid: coin.txid,
    vout: coin.vout,
    wallet_id: coin.wallet_id,
    amount_sats: coin.amount_sats,
    script: coin.script,
    coinbase: coin.coinbase,
    branch: coin.branch,
    index: coin.index,
    created_height: isThere ? coin.created_height : null,
    created_hash: isThere ? coin.created_hash : null,
    held_by: heldBy,
  });
}

type DataOf<T extends ProjectedEvent['type']> = Extract<ProjectedEvent, { type: T }>['data'];

/** A payment may be made of coins that no block has held so far: then the row says only who holds it. */
export function holdCoins({ walletId, payoutId, coins }: DataOf<'CoinsReserved'>, { spendable }: TransferTables): void {
  for (const { outpoint, amountSats } of coins) {
    const [txid, vout] = partsOf(outpoint);
    const row = spendable.get(keyText(txid, vout)) ?? {
      txid,
      vout,
      wallet_id: walletId,
      amount_sats: BigInt(amountSats),
      script: null,
      coinbase: false,
      branch: null,
      index: null,
      created_height: null,
      created_hash: null,
      held_by: null,
    };
    if (row.held_by === null) spendable.put({ ...row, held_by: payoutId });
  }
}

/** What another payout holds meanwhile stays held. */
export function freeCoins({ payoutId, outpoints }: DataOf<'CoinsReleased'>, { spendable }: TransferTables): void {
  for (const outpoint of outpoints) {
    const key = keyText(...partsOf(outpoint));
    const row = spendable.get(key);
    if (row?.held_by !== payoutId) continue;
    if (row.created_height === null) spendable.remove(key);
    else spendable.put({ ...row, held_by: null });
  }
}

/** A txid has 64 characters. */
export function partsOf(outpoint: string): [txid: string, vout: number] {
  return [outpoint.slice(0, 64), Number(outpoint.slice(65))];
}
