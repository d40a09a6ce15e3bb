import type { DomainEvent } from '../events/event-types.js';
import type { PayoutResolved } from '../events/payout-events.js';
import { reject, type Rejection } from '../rejection.js';
import { decisiveInputs, findOwn } from './payout-candidates.js';
import type { PayoutState } from './payout-state.js';
import { settledEvent } from './settle-payout.js';

export interface ResolvePayout {
  payoutId: string;
  outcome: PayoutResolved['outcome'];
  /** The foreign transaction that took a coin of the payout. */
  byTxid: string;
  note: string;
}

/** What the chain says of that transaction. */
export interface ResolveFacts {
  /** 0 where no connected block holds it. */
  confirmations: number;
  /** A coin that it spends and that every payment of the payout spends; null where there is none. */
  outpoint: string | null;
  /** Withdrawals of the payout for which it has no output of their own with their script and exact amount. */
  unpaid: readonly string[];
}

/**
 * A person states what is to be done with a payout that is halted. Accepted only where the foreign transaction is buried as deep
 * as a payment must be to be final: from then on none of the payout's own transactions can ever confirm.
 */
export function resolvePayout(
  command: ResolvePayout,
  state: PayoutState,
  facts: ResolveFacts,
): DomainEvent[] | Rejection {
  const { payoutId, outcome, byTxid, note } = command;
  const { started, settled } = state;
  if (started === null) return reject('payout-not-found', `There is no payout '${payoutId}'.`);
  const refused = refuseResolution(command, state, facts, started.finalAt);
  if (refused !== undefined) return reject('payout-not-resolvable', refused);
  const { confirmations, outpoint } = facts;
  // A coin that only a later payment spends decides nothing: an earlier one could still confirm, and would be a second payment.
  if (outpoint === null || !(decisiveInputs(state) ?? [outpoint]).includes(outpoint)) {
    return reject(
      'payout-not-resolvable',
      `${byTxid} spends no coin that every payment of payout '${payoutId}' spends.`,
    );
  }
  const paid = state.withdrawals.reduce((sum, { amountSats }) => sum + BigInt(amountSats), 0n);
  const postings =
    outcome === 'paid'
      ? [
          { book: 'transit', amountSats: paid.toString() },
          { book: 'suspense', amountSats: `-${paid}` },
        ]
      : [];
  const resolved: DomainEvent = {
    type: 'PayoutResolved',
    data: { payoutId, outcome, byTxid, outpoint, confirmations, note, postings },
  };
  // That transaction's fee was not ours to pay: what it took beyond the withdrawals stays in suspense.
  return outcome === 'paid' && settled === null ? [resolved, settledEvent(payoutId, byTxid, 0n, state)] : [resolved];
}

function refuseResolution(
  { payoutId, outcome, byTxid }: ResolvePayout,
  state: PayoutState,
  { confirmations, unpaid }: ResolveFacts,
  finalAt: number,
): string | undefined {
  if (state.phase !== 'halted') return `Payout '${payoutId}' is ${state.phase}, not halted.`;
  if (findOwn(state, byTxid) !== undefined) return `${byTxid} is a transaction of the payout itself.`;
  if (confirmations < finalAt) {
    return `${byTxid} has ${confirmations} confirmations; it must have ${finalAt} before this can be decided.`;
  }
  if (outcome === 'paid' && unpaid.length > 0) return `${byTxid} does not pay withdrawal '${unpaid[0]}' its amount.`;
  if (outcome === 'give-up' && state.settled !== null) {
    return `Payout '${payoutId}' was settled: its accounts have had the money.`;
  }
  return undefined;
}
