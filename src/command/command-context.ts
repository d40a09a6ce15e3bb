import type { EventMetadata } from '../eventstore/event-store.js';

/** What comes with every command beside what it asks for. */
export interface CommandContext {
  /** 1 to 255 printable characters, unquoted. */
  idempotencyKey: string;
  correlationId: string;
  traceparent: string;
  actor: string;
}

/** Metadata of the events that the command causes. */
export function metadataOf(context: CommandContext): EventMetadata {
  return {
    correlationId: context.correlationId,
    traceparent: context.traceparent,
    actor: context.actor,
    idempotencyKey: context.idempotencyKey,
  };
}
