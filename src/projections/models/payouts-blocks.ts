import type { AssembledBlock, ProjectedEvent } from '../projection.js';
import { isOwnTransaction } from './candidate-tables.js';
import type { PayoutTables } from './payout-tables.js';
import { changeWork } from './payout-work-row.js';

/**
 * What a block means for the payouts that it touches: those alone cost something, however many are open. A payment of ours is in a
 * block, or out of one again; or a coin that a payout holds was spent by somebody else.
 */
export function applyBlockToPayouts(event: ProjectedEvent, tables: PayoutTables): void {
  if (event.block === undefined) return;
  if (event.type === 'BlockConnected') connect(event.block, tables);
  else disconnect(event.block, tables);
}

function connect({ found, hash, height }: AssembledBlock, tables: PayoutTables): void {
  const seen = new Set<string>();
  for (const { txid, prevTxid, prevVout } of found.spent) {
    const tx = tables.candidateTx.get(txid);
    const isOwn = isOwnTransaction(tx);
    if (isOwn && tx.kind === 'payment' && !seen.has(txid)) {
      seen.add(txid);
      changeWork(tx.payout_id, tables, { confirmed_txid: txid, confirmed_height: height });
    }
    const outpoint = `${prevTxid}:${prevVout}`;
    const reservation = tables.reservation.get(outpoint);
    if (reservation?.held !== true) continue;
    const { payout_id: payoutId } = reservation;
    if (isOwn && tx.payout_id === payoutId) continue;
    if (tables.work.get(payoutId)?.is_over !== false) continue;
    tables.foreign.put({ outpoint, payout_id: payoutId, by_txid: txid, block_hash: hash, block_height: height });
    changeWork(payoutId, tables, { is_unusual: true });
  }
}

function disconnect({ found, hash }: AssembledBlock, tables: PayoutTables): void {
  for (const { txid, prevTxid, prevVout } of found.spent) {
    const tx = tables.candidateTx.get(txid);
    if (tx !== undefined && tables.work.get(tx.payout_id)?.confirmed_txid === txid) {
      changeWork(tx.payout_id, tables, { confirmed_txid: null, confirmed_height: null });
    }
    const outpoint = `${prevTxid}:${prevVout}`;
    if (tables.foreign.get(outpoint)?.block_hash === hash) tables.foreign.remove(outpoint);
  }
}
