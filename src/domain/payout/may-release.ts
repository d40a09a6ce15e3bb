import type { CoinsReleased } from '../events/payout-events.js';
import { outpointsOf } from './payout-candidates.js';
import type { PayoutState } from './payout-state.js';

/**
 * Whether a coin that the payout holds may be given back for this reason. `spent`: only at the end. `conflict`: only after a person
 * decided, and never what the payout spends since. `unsigned`: only what no candidate spends, prepared, voided or signed; all of it
 * where the payout was cancelled.
 */
export function mayRelease(state: PayoutState, reason: CoinsReleased['reason'], outpoint: string): boolean {
  const isSpentIn = (round: number | undefined): boolean =>
    state.candidates.some(
      (candidate) =>
        (round === undefined || candidate.round === round) && outpointsOf(candidate.transaction).includes(outpoint),
    );
  switch (reason) {
    case 'spent':
      return state.phase === 'closed';
    case 'conflict':
      if (state.resolution === null) return false;
      return state.resolution.outcome !== 'pay-again' || state.phase === 'closed' || !isSpentIn(state.round);
    case 'unsigned':
      return state.phase === 'cancelled' || (state.phase !== 'closed' && !isSpentIn(undefined));
  }
}
