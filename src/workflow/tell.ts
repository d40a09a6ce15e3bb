import { isRejection, type Rejection } from '../domain/rejection.js';
import { RetryableError } from '../platform/errors.js';
import type { Cause, Told } from './ports.js';
import type { WorkflowParts } from './workflow-parts.js';

/** Waits for a command and remembers how far the ledger has come with it. */
export async function tell(
  { written }: Pick<WorkflowParts, 'written'>,
  telling: Promise<Told | Rejection>,
): Promise<Told | Rejection> {
  const result = await telling;
  if (!isRejection(result) && result.position !== undefined && result.position > written.position) {
    written.position = result.position;
  }
  return result;
}

/** The stream says that this cannot be done now: it has changed since it was looked at. Look again. */
export class OvertakenError extends RetryableError {}

/** For a command that can only be refused because something else was faster. */
export async function mustTell(
  parts: Pick<WorkflowParts, 'written'>,
  telling: Promise<Told | Rejection>,
): Promise<Told> {
  const result = await tell(parts, telling);
  if (isRejection(result)) throw new OvertakenError(result.detail, { rejected: result.rejected });
  return result;
}

/** Of what the chain calls for. */
export function becauseOfTheChain({ lastBlock: { eventId } }: Pick<WorkflowParts, 'lastBlock'>): Cause {
  return eventId === null ? {} : { causationId: eventId };
}

/** Tells many things, some at a time. */
export async function forEachBounded<T>(
  items: readonly T[],
  atOnce: number,
  each: (item: T) => Promise<void>,
): Promise<void> {
  const left = items.values();
  const worker = async (): Promise<void> => {
    for (const item of left) await each(item);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
}
