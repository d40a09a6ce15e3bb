import { invariant } from '../../platform/assert.js';
import { bookHeight } from '../projection.js';
import type { ProjectedEvent } from '../projection.js';
import { changeWork } from './payout-work-row.js';
import type { PayoutTables } from './payout-tables.js';

type DataOf<T extends ProjectedEvent['type']> = Extract<ProjectedEvent, { type: T }>['data'];

/** Coins that a payout takes for itself. */
export function reserveCoins(event: ProjectedEvent, data: DataOf<'CoinsReserved'>, tables: PayoutTables): void {
  const { walletId, payoutId } = data;
  let held = 0;
  for (const { outpoint, amountSats } of data.coins) {
    const before = tables.reservation.get(outpoint);
    if (before?.held === true) {
      invariant(before.payout_id === payoutId, `coin ${outpoint} is reserved for payout ${before.payout_id}`);
      continue;
    }
    held += 1;
    tables.reservation.put({
      outpoint,
      wallet_id: walletId,
      payout_id: payoutId,
      amount_sats: BigInt(amountSats),
      held: true,
      height: bookHeight(event),
    });
  }
  changeWork(payoutId, tables, ({ coins_held: before }) => ({ coins_held: before + held }));
}

/** Coins that a payout gives back. */
export function releaseCoins(event: ProjectedEvent, data: DataOf<'CoinsReleased'>, tables: PayoutTables): void {
  let released = 0;
  for (const outpoint of data.outpoints) {
    const row = tables.reservation.get(outpoint);
    if (row?.held !== true || row.payout_id !== data.payoutId) continue;
    released += 1;
    tables.reservation.put({ ...row, held: false, height: bookHeight(event) });
    tables.foreign.remove(outpoint);
  }
  changeWork(data.payoutId, tables, ({ coins_held: before }) => ({ coins_held: before - released }));
}
