import { PAYOUT_STATUSES } from '../query/sql/payout-status.js';
import { listPayouts, type PayoutRecord } from '../query/sql/read-payouts.js';
import { runList, type ListOptions } from './run-list.js';

export interface PayoutsOptions extends ListOptions {
  wallet?: string;
}

/** `tallystick payouts`: the newest first. */
export async function runPayouts(options: PayoutsOptions): Promise<void> {
  const wallet = options.wallet === undefined ? {} : { walletId: options.wallet };
  await runList(options, {
    label: 'payouts',
    statuses: PAYOUT_STATUSES,
    find: ({ database, at, criteria, page }) => listPayouts(database, at, { ...criteria, ...wallet }, page),
    columnsOf,
  });
}

function columnsOf(found: PayoutRecord): Record<string, string> {
  return {
    id: found.payoutId,
    wallet: found.walletId,
    status: found.status,
    since: found.statusSince?.toISOString() ?? '',
    confirmations: String(found.confirmations),
    txid: found.txid ?? '',
    waits: found.halt === null ? (found.waitReason ?? '') : `spent by ${found.halt.byTxid}`,
  };
}
