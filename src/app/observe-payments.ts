import type { LedgerMetrics } from '../platform/metrics.js';
import type { PaymentsSummary } from '../query/payments-summary.js';

/** Counting what is open costs some milliseconds per thousand payouts: scrapes that come faster get what the last one got. */
const MIN_AGE_MS = 5_000;

/**
 * Where payments stand, for those who are woken when they do not move. Read before a scrape; the gauges report it.
 *
 * @param now milliseconds
 */
export function observePayments(
  metrics: LedgerMetrics,
  read: () => Promise<PaymentsSummary | undefined>,
  now: () => number,
): void {
  let summary: PaymentsSummary | undefined;
  let readAt = -Infinity;
  metrics.observe('withdrawals_open', 'Withdrawals that are not final, by status.', ['status'], () =>
    (summary?.withdrawals ?? []).map(({ status, count }) => ({ labels: { status }, value: count })),
  );
  metrics.observe(
    'withdrawals_overdue',
    'Withdrawals that are in their status for longer than OVERDUE_MINUTES allow.',
    ['status'],
    () => (summary?.withdrawals ?? []).map(({ status, overdue }) => ({ labels: { status }, value: overdue })),
  );
  metrics.observe('payouts_open', 'Payouts that are not closed, by status.', ['status'], () =>
    (summary?.payouts ?? []).map(({ status, count }) => ({ labels: { status }, value: count })),
  );
  metrics.observe('payouts_halted', 'Payouts of which a coin was spent by somebody else: a person decides.', [], () =>
    summary === undefined ? [] : [{ value: summary.halted.length }],
  );
  metrics.observe('payouts_refused', 'Signed payouts that the node refuses for good: a person has to look.', [], () =>
    summary === undefined ? [] : [{ value: summary.refused.length }],
  );
  metrics.observe('transit_sats', 'Payments on their way: 0 when there are none.', [], () =>
    summary === undefined ? [] : [{ value: Number(summary.transitSats) }],
  );
  metrics.observe('fees_sats', 'What the fees of the network have cost the house.', [], () =>
    summary === undefined ? [] : [{ value: Number(summary.feesSats) }],
  );
  metrics.beforeScrape(
    async () => {
      if (now() - readAt < MIN_AGE_MS) return;
      readAt = now();
      summary = await read();
    },
    () => {
      summary = undefined;
      readAt = -Infinity;
    },
  );
}
