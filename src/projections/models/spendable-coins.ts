import type { ProjectedEvent } from '../projection.js';
import { keyText } from '../tables/row-table.js';
import type { CoinRow, TransferTables } from './transfer-tables.js';

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
