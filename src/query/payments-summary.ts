import type pg from 'pg';
import type { PayoutStatus } from './sql/payout-status.js';
import { countOpenPayouts, listHalted, listRefused, type RefusedPayout } from './sql/read-payouts.js';
import { countOpenWithdrawals } from './sql/read-withdrawals.js';
import { DEFAULT_OVERDUE_MINUTES } from './overdue.js';
import type { OverdueMinutes, WithdrawalStatus } from './overdue.js';
import { readPresent } from './present.js';
import { createReadDatabase } from './sql/database.js';
import { readBooks } from './sql/read-ledger.js';

/** Where payments stand now: what metrics, health and the command line say of them. */
export interface PaymentsSummary {
  position: bigint;
  /** Of what is not over, by status. */
  withdrawals: { status: WithdrawalStatus; count: number; overdue: number; amountSats: bigint }[];
  payouts: { status: PayoutStatus; count: number }[];
  /** Ids of halted payouts, at most 100: a person has to decide. */
  halted: string[];
  /** Payouts that the node refuses for good, at most 100: a person has to look. */
  refused: RefusedPayout[];
  transitSats: bigint;
  feesSats: bigint;
}

export interface PaymentsSummaryOptions {
  pool: pg.Pool;
  ledger: string;
  overdueMinutes?: OverdueMinutes;
}

/** Halted payouts that are named; where there are more, the first ones say enough. */
const MAX_NAMED = 100;

const MODELS = ['payouts', 'transfers', 'blocks', 'books'] as const;

/** Undefined while the read models are being built. It counts an index entry for each that is open, so it is asked now and then, not per request. */
export async function readPaymentsSummary(options: PaymentsSummaryOptions): Promise<PaymentsSummary | undefined> {
  const database = createReadDatabase(options.pool, options.ledger);
  const at = await readPresent(database, MODELS);
  if (at === undefined) return undefined;
  const overdue = { minutes: options.overdueMinutes ?? DEFAULT_OVERDUE_MINUTES, now: new Date() };
  const [withdrawals, payouts, halted, refused, books] = await Promise.all([
    countOpenWithdrawals(database, at, overdue),
    countOpenPayouts(database, at),
    listHalted(database, MAX_NAMED),
    listRefused(database, MAX_NAMED),
    readBooks(database, at),
  ]);
  const { transit: transitSats, fees: feesSats } = books;
  return { position: at.position, withdrawals, payouts, halted, refused, transitSats, feesSats };
}

/** Ids of halted payouts alone: one index that holds nothing else, for health. */
export function readHaltedPayouts({ pool, ledger }: PaymentsSummaryOptions): Promise<string[]> {
  return listHalted(createReadDatabase(pool, ledger), MAX_NAMED);
}

/** Payouts that the node refuses for good, for health. */
export function readRefusedPayouts({ pool, ledger }: PaymentsSummaryOptions): Promise<RefusedPayout[]> {
  return listRefused(createReadDatabase(pool, ledger), MAX_NAMED);
}
