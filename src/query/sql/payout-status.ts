/**
 * `started`: coins are chosen. `final`: buried so deep that it is not looked at again. `halted`: a coin was spent by somebody else, a
 * person decides. `failed`: a person gave it up. The others are as with withdrawals.
 */
export const PAYOUT_STATUSES = [
  'started',
  'prepared',
  'signed',
  'broadcast',
  'confirming',
  'completed',
  'final',
  'halted',
  'cancelled',
  'failed',
] as const;
export type PayoutStatus = (typeof PAYOUT_STATUSES)[number];
