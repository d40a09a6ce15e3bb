import { invariant } from '../../platform/assert.js';
import { defineProjection } from '../projection.js';
import type { ProjectedEvent } from '../projection.js';
import { freeCoins, holdCoins } from './spendable-coins.js';
import { transferTables } from './transfer-tables.js';
import type { TransferTables } from './transfer-tables.js';
import { connectTransfers, disconnectTransfers } from './transfers-apply.js';
import { loadTransfers } from './transfers-load.js';

/** Coins and transfers with all that decides their status, on every branch that was ever connected; and the coins to choose from now. */
export const transfers = defineProjection({
  name: 'transfers',
  version: 4,
  tables: transferTables,
  load: loadTransfers,
  apply,
  bulk: { applies: `type IN ('CoinsReserved', 'CoinsReleased')`, tables: [] },
});

function apply(event: ProjectedEvent, handles: TransferTables): void {
  switch (event.type) {
    case 'CoinsReserved':
      holdCoins(event.data, handles);
      return;
    case 'CoinsReleased':
      freeCoins(event.data, handles);
      return;
    case 'BlockConnected':
    case 'BlockDisconnected':
      invariant(event.block !== undefined, `event ${event.position} has no block`);
      if (event.type === 'BlockConnected') connectTransfers(event.position, event.block, handles);
      else disconnectTransfers(event.block, handles);
      return;
    default:
      return;
  }
}
