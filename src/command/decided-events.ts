import { hash } from 'node:crypto';
import type { DomainEvent } from '../domain/events/event-types.js';
import { newEvents } from '../domain/new-event.js';
import type { EventMetadata, NewEvent } from '../eventstore/event-store.js';
import { canonicalJson } from './canonical-json.js';

/** No client can send this character in an idempotency key: what they choose never makes an id of ours. */
const OURS = '\u0000';

/**
 * Events that no client's key stands for. Their ids derive from where they go and what they say: when the acknowledgement of an append
 * was lost, the same decision on the same stream is the same event; another decision at the same place never is.
 */
export function decidedEvents(
  events: readonly DomainEvent[],
  at: { ledger: string; stream: string; revision: bigint },
  metadata: EventMetadata,
): NewEvent[] {
  const key = `${OURS}${at.stream}@${at.revision}:${hash('sha256', canonicalJson(events), 'hex')}`;
  return newEvents(events, { ledger: at.ledger, key, metadata });
}
