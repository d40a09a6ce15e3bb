import { invariant } from '../../platform/assert.js';
import type { DomainEvent } from '../events/event-types.js';
import type { FundsReleased } from '../events/withdrawal-events.js';
import { reservedBy, type AccountState } from './account-state.js';

export interface ReleaseFunds {
  withdrawalId: string;
  accountId: string;
  reason: FundsReleased['reason'];
}

/**
 * Gives a reservation back, whole: the withdrawal was cancelled or has failed, which is recorded before on its own stream. No
 * event where the reservation is not open any more: it was given back already.
 */
export function releaseFunds({ withdrawalId, accountId, reason }: ReleaseFunds, state: AccountState): DomainEvent[] {
  invariant(state.opened, `withdrawal ${withdrawalId} is of an account that exists`);
  const reservation = state.reservations.get(withdrawalId);
  if (reservation === undefined) return [];
  const total = reservedBy(reservation).toString();
  return [
    {
      type: 'FundsReleased',
      data: {
        withdrawalId,
        accountId,
        amountSats: total,
        reason,
        postings: [
          { book: `reserved:${accountId}`, amountSats: total },
          { book: `account:${accountId}`, amountSats: `-${total}` },
        ],
      },
    },
  ];
}
