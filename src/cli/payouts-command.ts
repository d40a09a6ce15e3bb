import { readPresent } from '../query/present.js';
import { createReadDatabase } from '../query/sql/database.js';
import { PAYOUT_STATUSES, type PayoutStatus } from '../query/sql/payout-status.js';
import { listPayouts, type PayoutRecord } from '../query/sql/read-payouts.js';
import { EXIT_FAILED } from './exit.js';
import { printList } from './print-list.js';
import { existingLedger } from './one-ledger.js';
import { withDatabase } from './with-database.js';
import { MAX_LISTED, refuse } from './withdrawals-command.js';

export interface PayoutsOptions {
  status?: string;
  wallet?: string;
  limit: string;
  json?: boolean;
}

const CONNECTIONS = 2;

/** `tallystick payouts`: the newest first. */
export async function runPayouts(options: PayoutsOptions): Promise<void> {
  const json = options.json === true;
  const limit = Number(options.limit);
  if (options.status !== undefined && !(PAYOUT_STATUSES as readonly string[]).includes(options.status)) {
    refuse(`--status must be one of ${PAYOUT_STATUSES.join(', ')}`);
    return;
  }
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LISTED) {
    refuse(`--limit must be 1 to ${MAX_LISTED}`);
    return;
  }
  await withDatabase({ label: 'payouts', connections: CONNECTIONS, json }, async ({ config, pool }) => {
    const database = createReadDatabase(pool, await existingLedger(pool, config));
    const at = await readPresent(database, ['payouts', 'transfers', 'blocks']);
    if (at === undefined) {
      process.stderr.write('tallystick: the read models are not there yet: start the ledger first\n');
      process.exitCode = EXIT_FAILED;
      return;
    }
    const criteria = {
      ...(options.status === undefined ? {} : { status: options.status as PayoutStatus }),
      ...(options.wallet === undefined ? {} : { walletId: options.wallet }),
    };
    const found = await listPayouts(database, at, criteria, { before: undefined, limit });
    printList(json, found, columnsOf, 'no payouts');
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
