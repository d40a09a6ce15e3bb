import type { ProjectedEvent } from '../projection.js';
import { keyText } from '../tables/row-table.js';
import { spendingTransactions } from './block-inputs.js';
import { partsOf } from './spendable-coins.js';
import type { TransferTables } from './transfer-tables.js';

/** Two rounds: what the blocks name, then the orphans that share an input with them and all that belongs to those. */
export async function loadTransfers(events: readonly ProjectedEvent[], tables: TransferTables): Promise<void> {
  const coins = new Set<string>();
  const ids = new Set<string>();
  const txids = new Set<string>();
  const outpoints = new Set<string>();
  const held = new Set<string>();
  for (const event of events) {
    const { block } = event;
    for (const outpoint of outpointsOf(event)) held.add(keyText(...partsOf(outpoint)));
    if (block === undefined) continue;
    for (const { txid, vout } of block.found.received) {
      coins.add(keyText(txid, vout));
      ids.add(`IN:${txid}:${vout}`);
    }
    for (const { txid, vin, prevTxid, prevVout } of block.found.spent) {
      coins.add(keyText(prevTxid, prevVout));
      ids.add(`OUT:${txid}:${vin}`);
    }
    for (const { txid } of block.found.conflicts) txids.add(txid);
    for (const { txid, inputs } of spendingTransactions(block)) {
      txids.add(txid);
      for (const input of inputs) outpoints.add(input);
    }
  }
  await tables.orphanInput.loadGroups(outpoints);
  if (!tables.orphanInput.isComplete) {
    for (const outpoint of outpoints) for (const { txid } of tables.orphanInput.group(outpoint)) txids.add(txid);
  }
  await tables.orphan.load(txids);
  if (!tables.orphan.isComplete) {
    const orphans = [...txids].flatMap((txid) => tables.orphan.get(txid) ?? []);
    // An orphan that connects again gives up all its inputs, whatever the block names.
    await tables.orphanInput.loadGroups(orphans.flatMap(({ inputs }) => inputs));
    for (const id of orphans.flatMap(({ transfer_ids: transferIds }) => transferIds)) {
      ids.add(id);
      const [direction, txid = '', vout = ''] = id.split(':');
      if (direction === 'IN') coins.add(keyText(txid, vout));
    }
  }
  await tables.conflict.loadGroups(txids);
  await tables.coin.load(coins);
  await tables.spendable.load([...coins, ...held]);
  await tables.transfer.load(ids);
}

/** Coins that a payout takes or gives back. */
function outpointsOf(event: ProjectedEvent): readonly string[] {
  if (event.type === 'CoinsReserved') return event.data.coins.map(({ outpoint }) => outpoint);
  return event.type === 'CoinsReleased' ? event.data.outpoints : [];
}
