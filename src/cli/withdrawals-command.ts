import { WITHDRAWAL_STATUSES } from '../query/overdue.js';
import type { WithdrawalStatus } from '../query/overdue.js';
import { readPresent } from '../query/present.js';
import { createReadDatabase } from '../query/sql/database.js';
import { listWithdrawals } from '../query/sql/read-withdrawals.js';
import type { WithdrawalRecord } from '../query/sql/read-withdrawals.js';
import { EXIT_FAILED, EXIT_USAGE } from './exit.js';
import { printList } from './print-list.js';
import { existingLedger } from './one-ledger.js';
import { withDatabase } from './with-database.js';

export interface WithdrawalsOptions {
  status?: string;
  overdue?: boolean;
  account?: string;
  limit: string;
  json?: boolean;
}

const CONNECTIONS = 2;

/** Most rows of one list: a screen is read, not a ledger. */
export const MAX_LISTED = 500;

/** `tallystick withdrawals`: the newest first, or those that are overdue. */
export async function runWithdrawals(options: WithdrawalsOptions): Promise<void> {
  const json = options.json === true;
  const limit = Number(options.limit);
  if (options.status !== undefined && !(WITHDRAWAL_STATUSES as readonly string[]).includes(options.status)) {
    refuse(`--status must be one of ${WITHDRAWAL_STATUSES.join(', ')}`);
    return;
  }
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LISTED) {
    refuse(`--limit must be 1 to ${MAX_LISTED}`);
    return;
  }
  await withDatabase({ label: 'withdrawals', connections: CONNECTIONS, json }, async ({ config, pool }) => {
    const database = createReadDatabase(pool, await existingLedger(pool, config));
    const at = await readPresent(database, ['payouts', 'transfers', 'blocks']);
    if (at === undefined) {
      process.stderr.write('tallystick: the read models are not there yet: start the ledger first\n');
      process.exitCode = EXIT_FAILED;
      return;
    }
    const criteria = {
      ...(options.status === undefined ? {} : { status: options.status as WithdrawalStatus }),
      ...(options.overdue === true ? { overdue: true } : {}),
      ...(options.account === undefined ? {} : { accountId: options.account }),
    };
    const overdue = { minutes: config.overdueMinutes, now: new Date() };
    const found = await listWithdrawals(database, at, overdue, criteria, { before: undefined, limit });
    printList(json, found, columnsOf, 'no withdrawals');
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

export function refuse(message: string): void {
  process.stderr.write(`tallystick: ${message}\n`);
  process.exitCode = EXIT_USAGE;
}
