import type { AssembledBlock } from '../projection.js';

export interface SpendingTransaction {
  txid: string;
  /** `txid:vout`, each once, in order of first mention. */
  inputs: string[];
}

/**
 * The transactions of a block that concern us, with the inputs that are known: all of them where it pays us, else those that spend
 * our coins. Coinbase transactions have none and are left out.
 */
export function spendingTransactions(block: AssembledBlock): SpendingTransaction[] {
  const byTxid = new Map<string, Set<string>>();
  const inputsOf = (txid: string): Set<string> => {
    let inputs = byTxid.get(txid);
    if (inputs === undefined) byTxid.set(txid, (inputs = new Set()));
    return inputs;
  };
  for (const { txid, coinbase } of block.found.received) if (!coinbase) inputsOf(txid);
  for (const { txid, inputs } of block.found.funding) for (const input of inputs) inputsOf(txid).add(input);
  for (const { txid, prevTxid, prevVout } of block.found.spent) inputsOf(txid).add(`${prevTxid}:${prevVout}`);
  return [...byTxid].map(([txid, inputs]) => ({ txid, inputs: [...inputs] }));
}
