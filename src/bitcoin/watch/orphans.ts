import type { Found } from '../../domain/events/chain-events.js';
import { createOutpointSet } from '../scan/outpoint-set.js';

/**
 * Transactions that concern us, lost their block in a reorg, and are in no connected block now; with their inputs as far as they
 * are known: all of them where it paid us, else those that spend our coins.
 */
export interface Orphans {
  readonly size: number;
  /** Returns false if it was there. */
  add(txid: string, inputs: readonly string[]): boolean;
  /** Its inputs, or undefined if it was not there. */
  remove(txid: string): string[] | undefined;
  /** Txids of the orphans that spend this outpoint (`txid:vout`). */
  spending(outpoint: string): readonly string[];
  /** Txids of the orphans that spend an output of this transaction. */
  childrenOf(txid: string): string[];
  hasBytes(block: Uint8Array, offset: number): boolean;
}

export function createOrphans(): Orphans {
  const inputsOf = new Map<string, string[]>();
  const spenders = new Map<string, string[]>();
  const outpoints = createOutpointSet();
  return {
    get size() {
      return inputsOf.size;
    },
    add(txid, inputs) {
      if (inputsOf.has(txid)) return false;
      inputsOf.set(txid, [...inputs]);
      for (const outpoint of inputs) {
        const others = spenders.get(outpoint);
        if (others) {
          others.push(txid);
          continue;
        }
        spenders.set(outpoint, [txid]);
        outpoints.add(...parseOutpoint(outpoint));
      }
      return true;
    },
    remove(txid) {
      const inputs = inputsOf.get(txid);
      if (inputs === undefined) return undefined;
      inputsOf.delete(txid);
      for (const outpoint of inputs) {
        const others = (spenders.get(outpoint) ?? []).filter((other) => other !== txid);
        if (others.length > 0) {
          spenders.set(outpoint, others);
          continue;
        }
        spenders.delete(outpoint);
        outpoints.delete(...parseOutpoint(outpoint));
      }
      return inputs;
    },
    spending: (outpoint) => spenders.get(outpoint) ?? [],
    childrenOf: (txid) =>
      [...inputsOf]
        .filter(([, inputs]) => inputs.some((input) => input.startsWith(`${txid}:`)))
        .map(([child]) => child),
    hasBytes: (block, offset) => outpoints.hasBytes(block, offset),
  };
}

export function parseOutpoint(outpoint: string): [txid: string, vout: number] {
  return [outpoint.slice(0, 64), Number(outpoint.slice(65))];
}

/** The transactions of a block that can become orphans, each input once. A coinbase is none: it cannot be in another block. */
export function spendingTransactions(found: Found): Map<string, string[]> {
  const inputs = new Map<string, Set<string>>();
  const of = (txid: string): Set<string> => {
    let set = inputs.get(txid);
    if (set === undefined) inputs.set(txid, (set = new Set()));
    return set;
  };
  for (const { txid, coinbase } of found.received) if (!coinbase) of(txid);
  for (const { txid, inputs: spent } of found.funding) for (const outpoint of spent) of(txid).add(outpoint);
  for (const { txid, prevTxid, prevVout } of found.spent) of(txid).add(`${prevTxid}:${prevVout}`);
  return new Map([...inputs].map(([txid, set]) => [txid, [...set]]));
}
