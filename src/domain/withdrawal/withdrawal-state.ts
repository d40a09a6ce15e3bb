import type { DomainEvent } from '../events/event-types.js';
import type { WaitReason } from '../events/withdrawal-events.js';

/**
 * What is decided on the stream `withdrawal-<id>`. That it was asked for, by whom, and that it is settled stands on its
 * account's stream; how it is paid on its payout's.
 */
export interface WithdrawalState {
  /** Cancelled and failed are final. */
  readonly phase: 'waiting' | 'assigned' | 'cancelled' | 'failed';
  /** The payout that pays it, the only one that it ever has. */
  readonly payoutId: string | null;
  /** Why it waits. */
  readonly waits: { readonly reason: WaitReason; readonly detail: string } | null;
  /** Events of the stream so far. */
  readonly events: number;
}

export const initialWithdrawalState: WithdrawalState = { phase: 'waiting', payoutId: null, waits: null, events: 0 };

export function evolveWithdrawal(state: WithdrawalState, event: DomainEvent): WithdrawalState {
  const events = state.events + 1;
  switch (event.type) {
    case 'WithdrawalAssigned':
      return { phase: 'assigned', payoutId: event.data.payoutId, waits: null, events };
    case 'WithdrawalDeferred':
      return { ...state, waits: { reason: event.data.reason, detail: event.data.detail }, events };
    case 'WithdrawalCancelled':
      return { ...state, phase: 'cancelled', waits: null, events };
    case 'WithdrawalFailed':
      return { ...state, phase: 'failed', waits: null, events };
    default:
      return { ...state, events };
  }
}

export function withdrawalStream(withdrawalId: string): string {
  return `withdrawal-${withdrawalId}`;
}
