import { WITHDRAWAL_STATUSES } from '../query/overdue.js';
import { listWithdrawals, type WithdrawalRecord } from '../query/sql/read-withdrawals.js';
import { runList, type ListOptions } from './run-list.js';

export interface WithdrawalsOptions extends ListOptions {
  overdue?: boolean;
  account?: string;
}

/** `tallystick withdrawals`: the newest first, or those that are overdue. */
export async function runWithdrawals(options: WithdrawalsOptions): Promise<void> {
  const more = {
    ...(options.overdue === true ? { overdue: true } : {}),
    ...(options.account === undefined ? {} : { accountId: options.account }),
  };
  await runList(options, {
    label: 'withdrawals',
    statuses: WITHDRAWAL_STATUSES,
    find: ({ config, database, at, criteria, page }) => {
      const overdue = { minutes: config.overdueMinutes, now: new Date() };
      return listWithdrawals(database, at, overdue, { ...criteria, ...more }, page);
    },
    columnsOf,
  });
}

function columnsOf(found: WithdrawalRecord): Record<string, string> {
  return {
    id: found.withdrawalId,
    account: found.accountId,
    sats: String(found.amountSats),
    status: found.status,
    since: found.statusSince.toISOString(),
    overdue: found.overdueSince === null ? '' : 'overdue',
    payout: found.payoutId ?? '',
    txid: found.txid ?? '',
    waits: found.reason ?? '',
  };
}
