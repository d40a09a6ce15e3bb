import { invariant } from '../../platform/assert.js';
import { defineProjection } from '../projection.js';
import type { ProjectedEvent } from '../projection.js';
import { transferTables } from './transfer-tables.js';
import type { TransferTables } from './transfer-tables.js';
import { connectTransfers, disconnectTransfers } from './transfers-apply.js';
import { loadTransfers } from './transfers-load.js';

/** Coins and transfers with all that decides their status, on every branch that was ever connected. */
export const transfers = defineProjection({
  name: 'transfers',
  version: 3,
  tables: transferTables,
  load: loadTransfers,
  apply,
  bulk: { applies: 'false', tables: [] },
});

function apply(event: ProjectedEvent, handles: TransferTables): void {
  if (event.type !== 'BlockConnected' && event.type !== 'BlockDisconnected') return;
  invariant(event.block !== undefined, `event ${event.position} has no block`);
  if (event.type === 'BlockConnected') connectTransfers(event.position, event.block, handles);
  else disconnectTransfers(event.block, handles);
}
