import type { Conflict, Found, Received, Spent } from '../../domain/events/chain-events.js';
import { scriptToAddress } from '../descriptors/address-script.js';
import type { NetworkName } from '../network.js';
import { scanBlock } from '../scan/scan-block.js';
import type { BlockInvalid, FoundSpend, ScannedBlock } from '../scan-types.js';
import type { Orphans } from '../watch/orphans.js';
import type { WatchState } from '../watch/watch-state.js';

export interface BlockFindings {
  kind: 'found';
  scanned: ScannedBlock;
  found: Found;
}

/**
 * Scans a raw block for everything that concerns us. A payment to an address that was watched ahead moves the gap limit, so
 * the block is scanned again until no new script turns up: a block can pay a whole row of addresses.
 */
export async function findTransfers(
  raw: Uint8Array,
  network: NetworkName,
  watch: WatchState,
): Promise<BlockFindings | BlockInvalid> {
  for (;;) {
    await watch.horizons.settle();
    const scanned = scanBlock(raw, { network, scripts: watch.owners.scripts, outpoints: watch.outpoints });
    if (scanned.kind === 'invalid') return scanned;
    for (const { owner } of scanned.outputs) {
      const { walletId, derivation } = watch.owners.owner(owner);
      if (derivation) watch.horizons.noteUse(walletId, derivation);
    }
    if (!watch.horizons.pending) return { kind: 'found', scanned, found: foundIn(scanned, network, watch) };
  }
}

function foundIn(scanned: ScannedBlock, network: NetworkName, watch: WatchState): Found {
  const addressOf = (script: string): string | null => scriptToAddress(Buffer.from(script, 'hex'), network);
  const received: Received[] = scanned.outputs
    // Two coinbases of 2010 have the txids of two others (BIP30): the second pays what is there already, once and not twice.
    .filter(({ txid, vout }) => watch.coins.get(txid, vout) === undefined)
    .map(({ txid, vout, amountSats, script, owner, coinbase }) => {
      const { walletId, accountId, derivation } = watch.owners.owner(owner);
      const address = addressOf(script);
      const payoutId = watch.payments.payoutOfChange(txid, vout);
      const place = { txid, vout, amountSats: String(amountSats), script, address };
      return { ...place, walletId, accountId, coinbase, derivation, payoutId };
    });
  const receivedHere = new Map(received.map((output) => [`${output.txid}:${output.vout}`, output]));

  const spent = scanned.spends.flatMap(({ txid, vin, prevTxid, prevVout }): Spent[] => {
    const place = { txid, vin, prevTxid, prevVout, payoutId: watch.payments.payoutOf(txid) };
    const here = receivedHere.get(`${prevTxid}:${prevVout}`);
    if (here) {
      const { amountSats, script, address, walletId, accountId } = here;
      return [{ ...place, amountSats, script, address, walletId, accountId }];
    }
    const coin = watch.coinOwner(prevTxid, prevVout);
    // Not a coin: the input of an orphan.
    if (!coin) return [];
    const script = Buffer.from(coin.script).toString('hex');
    const { walletId, accountId } = coin.owner;
    return [{ ...place, amountSats: String(coin.amountSats), script, address: addressOf(script), walletId, accountId }];
  });

  const paysUs = new Set(received.map(({ txid }) => txid));
  const funding = scanned.transactions
    .filter(({ txid, coinbase }) => !coinbase && paysUs.has(txid))
    .map(({ txid, inputs }) => ({ txid, inputs }));
  return { received, spent, funding, conflicts: conflictsIn(scanned.spends, watch.orphans) };
}

/**
 * Orphans that cannot confirm on this branch any more: another transaction of the block spends an input of theirs, or an input of
 * an orphan that they build on. In the second case the outpoint is the ancestor's.
 */
function conflictsIn(spends: readonly FoundSpend[], orphans: Orphans): Conflict[] {
  if (orphans.size === 0) return [];
  const inBlock = new Set(spends.map(({ txid }) => txid));
  const conflicts = new Map<string, Conflict>();
  for (const { txid: byTxid, prevTxid, prevVout } of spends) {
    const outpoint = `${prevTxid}:${prevVout}`;
    const affected = orphans.spending(outpoint).filter((txid) => txid !== byTxid);
    for (let txid = affected.pop(); txid !== undefined; txid = affected.pop()) {
      // An orphan cannot be in the same block as its conflict; where a pusher's invalid block says so, it is no orphan now.
      if (conflicts.has(txid) || inBlock.has(txid)) continue;
      conflicts.set(txid, { txid, byTxid, outpoint });
      affected.push(...orphans.childrenOf(txid));
    }
  }
  return [...conflicts.values()];
}
