import type { ClaimRequest } from './claims.js';
import type { WaitingAppend } from './waiting-append.js';

/** Of the appends of a run that have keys, or of one rejection after the other. */
export function toRequests(run: readonly WaitingAppend[]): ClaimRequest[] {
  const [first] = run;
  return run.flatMap(({ append, attempt, replaces }) => {
    if (append.idempotency === undefined || first === undefined) return [];
    const { key, requestHash, outcomeJson } = append.idempotency;
    const isRejection = append.expected === null;
    // All of a run are sent as one: where its first can come to be, there they can.
    const slot = isRejection ? undefined : { stream: append.stream, expected: first.storedExpected };
    return [{ key, requestHash, slot, attempt, replaces, outcomeJson: isRejection ? outcomeJson : undefined }];
  });
}
