import { LRUCache } from 'lru-cache';
import { SourceError, type BlockSource } from '../block-source.js';
import { hashBlock } from '../scan/hash-block.js';
import { createOutpointSet } from '../scan/outpoint-set.js';
import { readBlock } from '../scan/read-block.js';
import { createScriptSet } from '../scan/script-set.js';
import type { FoundTransaction, PaymentNode, WantedTransaction } from './payment-node.js';

/** Kept between payouts: a batch that paid many of our addresses is wanted again with each of its coins. */
const MAX_KEPT_BYTES = 32 * 1024 * 1024;

export interface PreviousTransactionsOptions {
  blocks: BlockSource['blocks'];
  /** For those that no block holds, or whose block the source has dropped. */
  find: (txid: string) => Promise<FoundTransaction | undefined>;
}

/**
 * Finds transactions in the blocks that are known to hold them: one pass over a block's bytes, and ids by the hash kernel, so that the node
 * needs no index of transactions. What has the txid is the transaction, whoever gave the block.
 */
export function createPreviousTransactions(options: PreviousTransactionsOptions): PaymentNode['previousTransactions'] {
  const kept = new LRUCache<string, Uint8Array>({
    maxSize: MAX_KEPT_BYTES,
    sizeCalculation: (raw) => Math.max(raw.length, 1),
  });

  return async (wanted) => {
    const found = new Map<string, Uint8Array>();
    for (const { txid } of wanted) {
      const raw = kept.get(txid);
      if (raw) found.set(txid, raw);
    }
    for (const [blockHash, txids] of byBlock(wanted.filter(({ txid }) => !found.has(txid)))) {
      for (const [txid, raw] of await fromBlock(options.blocks, blockHash, txids)) found.set(txid, raw);
    }
    for (const { txid } of wanted) {
      if (found.has(txid)) continue;
      const elsewhere = await options.find(txid);
      if (elsewhere) found.set(txid, Buffer.from(elsewhere.transaction, 'hex'));
    }
    for (const [txid, raw] of found) kept.set(txid, raw);
    return found;
  };
}

function byBlock(wanted: readonly WantedTransaction[]): Map<string, Set<string>> {
  const blocks = new Map<string, Set<string>>();
  for (const { txid, blockHash } of wanted) {
    if (blockHash === null) continue;
    const txids = blocks.get(blockHash) ?? new Set();
    blocks.set(blockHash, txids.add(txid));
  }
  return blocks;
}

async function fromBlock(
  blocks: BlockSource['blocks'],
  blockHash: string,
  txids: ReadonlySet<string>,
): Promise<Map<string, Uint8Array>> {
  const found = new Map<string, Uint8Array>();
  let raw: Uint8Array | undefined;
  try {
    [raw] = await blocks([blockHash]);
  } catch (error) {
    // Dropped, or never seen by this source: the rest of the payout may well do without.
    const isGone = error instanceof SourceError && ['block-missing', 'pruned'].includes(error.trouble);
    if (!isGone) throw error;
  }
  if (!raw) return found;
  const layout = readBlock(raw, { scripts: createScriptSet(), outpoints: createOutpointSet() });
  if (layout.kind === 'invalid') return found;
  const hashes = hashBlock(raw, layout);
  for (let index = 0; index < layout.transactionCount; index += 1) {
    const txid = hashes.txid(index);
    // Copied: a view would keep the whole block in memory.
    if (txids.has(txid)) found.set(txid, Uint8Array.from(raw.subarray(layout.starts[index], layout.ends[index])));
  }
  return found;
}
