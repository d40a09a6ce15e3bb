import { deterministicUuid } from './event-id.js';
import { EVENT_TYPES, type DomainEvent } from './events/event-types.js';

/** What an event is made of beside its data. */
export interface EventOrigin<M> {
  ledger: string;
  /** What the ids derive from: the command's idempotency key, or what caused the event. */
  key: string;
  metadata: M;
}

export interface IdentifiedEvent<M> {
  id: string;
  type: string;
  schemaVersion: number;
  data: unknown;
  metadata: M;
}

/**
 * Makes the decided facts ready for the store: checks each against the schema of its type and derives its id.
 *
 * @throws ZodError when a decider broke its schema, which is a bug: nothing is written
 */
export function newEvents<M>(events: readonly DomainEvent[], origin: EventOrigin<M>): IdentifiedEvent<M>[] {
  return events.map((event, index) => {
    const { schema, schemaVersion } = EVENT_TYPES[event.type];
    schema.parse(event.data);
    return {
      id: eventId(event, origin, index),
      type: event.type,
      schemaVersion,
      data: event.data,
      metadata: origin.metadata,
    };
  });
}

function eventId<M>(event: DomainEvent, origin: EventOrigin<M>, index: number): string {
  // A transfer's id is the client's to choose, once per sender. The event's id is unique in the ledger, and so makes that a
  // fact of the log that can be looked up, without a memory of all transfers ever sent.
  if (event.type === 'TransferSent') {
    return transferEventId(origin.ledger, event.data.fromAccountId, event.data.transferId);
  }
  // So is a withdrawal's, once in the ledger; and a reservation ends once, whichever way: a second end would have the same id.
  if (event.type === 'FundsReserved') return withdrawalEventId(origin.ledger, event.data.withdrawalId);
  if (event.type === 'FundsReleased' || event.type === 'WithdrawalSettled') {
    return withdrawalEndEventId(origin.ledger, event.data.withdrawalId);
  }
  return deterministicUuid(origin.ledger, origin.key, index);
}

/** Id of the event that a withdrawal begins with. */
export function withdrawalEventId(ledger: string, withdrawalId: string): string {
  return deterministicUuid(ledger, 'withdrawal', withdrawalId);
}

/** Id of the event that ends a withdrawal's reservation: it is settled, or its money given back. */
export function withdrawalEndEventId(ledger: string, withdrawalId: string): string {
  return deterministicUuid(ledger, 'withdrawal-end', withdrawalId);
}

/** Id of the event that a transfer of this sender has or would have. */
export function transferEventId(ledger: string, fromAccountId: string, transferId: string): string {
  return deterministicUuid(ledger, 'transfer', fromAccountId, transferId);
}
