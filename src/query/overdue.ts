/** Where a withdrawal stands, as users see it (API.md). */
export const WITHDRAWAL_STATUSES = [
  'requested',
  'prepared',
  'signed',
  'broadcast',
  'confirming',
  'completed',
  'cancelled',
  'failed',
] as const;
export type WithdrawalStatus = (typeof WITHDRAWAL_STATUSES)[number];

/** Statuses that a withdrawal should leave. */
export type OverdueStatus = Extract<WithdrawalStatus, 'requested' | 'prepared' | 'signed' | 'broadcast' | 'confirming'>;

/** Minutes that a withdrawal may stay in each status; one that is not named has no limit. */
export type OverdueMinutes = Readonly<Partial<Record<OverdueStatus, number>>>;

/** How long is too long. Judged when it is asked, of what the read models say: nothing has to remember to look. */
export interface OverdueRule {
  minutes: OverdueMinutes;
  now: () => Date;
}

/** What `OVERDUE_MINUTES` says where nobody says anything else. */
export const DEFAULT_OVERDUE_MINUTES: OverdueMinutes = {
  requested: 10,
  prepared: 60,
  signed: 10,
  broadcast: 120,
  confirming: 240,
};

export const DEFAULT_OVERDUE: OverdueRule = { minutes: DEFAULT_OVERDUE_MINUTES, now: () => new Date() };
