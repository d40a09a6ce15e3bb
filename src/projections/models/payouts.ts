import { defineProjection } from '../projection.js';
import type { ProjectedEvent } from '../projection.js';
import { applyBlockToPayouts } from './payouts-blocks.js';
import { applyCandidateEvent } from './payouts-candidates.js';
import { loadPayouts } from './payouts-load.js';
import { payoutTables } from './payout-tables.js';
import type { PayoutTables } from './payout-tables.js';
import { applyPayoutEvent } from './payouts-apply.js';
import { applyStages } from './stages-apply.js';
import { applyWithdrawalEvent } from './withdrawals-apply.js';

/** What this projection reads besides the chain's events. */
const TYPES = [
  'FundsReserved',
  'FundsReleased',
  'WithdrawalSettled',
  'WithdrawalAssigned',
  'WithdrawalDeferred',
  'WithdrawalCancelled',
  'WithdrawalFailed',
  'CoinsReserved',
  'CoinsReleased',
  'PayoutStarted',
  'WithdrawalRemoved',
  'CandidatePrepared',
  'CandidateSigned',
  'CandidateOffered',
  'PayoutDeferred',
  'BumpRequested',
  'BumpRefused',
  'PayoutHalted',
  'PayoutResumed',
  'PayoutResolved',
  'PayoutSettled',
  'PayoutClosed',
  'PayoutCancelled',
] as const satisfies readonly ProjectedEvent['type'][];

/** Withdrawals and payouts: what the books know of them at every position and height, and what is to be done for them now. */
export const payouts = defineProjection({
  name: 'payouts',
  version: 3,
  tables: payoutTables,
  load: loadPayouts,
  apply,
  bulk: { applies: `type IN (${TYPES.map((type) => `'${type}'`).join(', ')})`, tables: [] },
});

function apply(event: ProjectedEvent, tables: PayoutTables): void {
  applyWithdrawalEvent(event, tables);
  applyPayoutEvent(event, tables);
  applyCandidateEvent(event, tables);
  applyBlockToPayouts(event, tables);
  applyStages(event, tables);
}
