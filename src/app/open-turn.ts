import { once } from 'node:events';
import { withLease, type HeldLease } from '../platform/postgres/lease.js';
import type { LedgerContext } from './process-parts.js';

/**
 * Asks for the ledger's lease in a role for as long as the process runs.
 *
 * @returns whether this process holds it, at this moment
 */
export function openTurn(context: LedgerContext, role: 'follower'): () => boolean {
  const { ledger, enginePool: pool, closers, onTrouble } = context;
  const stopping = new AbortController();
  let held: HeldLease | undefined;
  const holding = withLease({ pool, ledger, role, onError: onTrouble }, stopping.signal, async (lease) => {
    held = lease;
    if (!lease.signal.aborted) await once(lease.signal, 'abort');
    held = undefined;
  });
  closers.add(`lease of the ${role}`, async () => {
    stopping.abort();
    await holding;
  });
  return () => held?.isHeld() ?? false;
}
