import { ProblemError } from '../platform/http/problem.js';
import { READ_WAIT_MS } from './limits.js';
import type { ReadModels } from './ports.js';

/** The header `Ledger-Min-Position`. @throws ProblemError request-malformed unless it is a position */
export function minPosition(header: string | string[] | undefined): bigint | undefined {
  if (header === undefined) return undefined;
  if (typeof header !== 'string' || !/^(0|[1-9][0-9]{0,18})$/.test(header.trim())) {
    throw new ProblemError('request-malformed', 'Ledger-Min-Position must be a position in decimal digits.');
  }
  return BigInt(header.trim());
}

/**
 * Waits until the read models have reached what the client has seen already, at most two seconds.
 *
 * @throws ProblemError ledger-behind with the position that they have reached
 */
export async function waitForPosition(
  readModels: ReadModels,
  position: bigint | undefined,
  models: readonly string[],
): Promise<void> {
  if (position === undefined) return;
  const reached = await readModels.waitFor(position, models, READ_WAIT_MS);
  if (reached >= position) return;
  throw new ProblemError('ledger-behind', `The read models have reached position ${reached}, not yet ${position}.`, {
    headers: { 'ledger-position': String(reached) },
    extensions: { position: String(reached) },
  });
}
