import type { Found } from '../../domain/events/chain-events.js';
import { invariant } from '../../platform/assert.js';
import { createOutpointSet } from '../scan/outpoint-set.js';
import { scanBlock } from '../scan/scan-block.js';
import type { LedgerView } from './ledger-view.js';

/**
 * Whether a connected block holds a payment of ours that was not known as one when it was scanned, or pays a script that is watched now and was not when it was scanned, or one that belongs to somebody
 * else now. What it spends follows from what it pays: who asks connects the block, and those above it, again.
 *
 * @param found what was written of it
 */
export async function isIncomplete(
  raw: Uint8Array,
  found: Found,
  { network, watch }: Pick<LedgerView, 'network' | 'watch'>,
): Promise<boolean> {
  if (watch.payments.disagreesWith(found)) return true;
  await watch.horizons.settle();
  const { owners, coins } = watch;
  const scanned = scanBlock(raw, { network, scripts: owners.scripts, outpoints: createOutpointSet() });
  invariant(scanned.kind === 'scanned', 'a block that was connected is valid');
  const written = new Map(found.received.map((output) => [`${output.txid}:${output.vout}`, output]));
  return scanned.outputs.some(({ txid, vout, owner: number }) => {
    const output = written.get(`${txid}:${vout}`);
    // A coinbase with the txid of another one (BIP30) is not written a second time.
    if (!output) return coins.get(txid, vout) === undefined;
    const owner = owners.owner(number);
    return output.walletId !== owner.walletId || output.accountId !== owner.accountId;
  });
}
