import type { FundsReserved } from '../domain/events/withdrawal-events.js';
import { withdrawalEventId } from '../domain/new-event.js';
import { reject, type Rejection } from '../domain/rejection.js';
import { invariant } from '../platform/assert.js';
import type { CommandParts } from './command-parts.js';

/** What was asked for, from the log itself: never behind. */
export async function requestedWithdrawal(
  { reads, ledger }: CommandParts,
  withdrawalId: string,
): Promise<FundsReserved | Rejection> {
  const event = await reads.findEvent(withdrawalEventId(ledger, withdrawalId));
  if (event === undefined) return reject('withdrawal-not-found', `There is no withdrawal '${withdrawalId}'.`);
  invariant(event.type === 'FundsReserved', `withdrawal ${withdrawalId} begins with its reservation`);
  // Checked when it was written.
  return event.data as FundsReserved;
}
