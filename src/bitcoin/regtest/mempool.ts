import { invariant } from '../../platform/assert.js';
import type { Coin } from './coin.js';
import { coinsOf } from './chain-state.js';
import type { ParsedTransaction } from './transaction.js';

export interface MempoolEntry extends ParsedTransaction {
  raw: Uint8Array;
  feeSats: bigint;
  /** Of inputs and outputs together: what it takes of a block. */
  sigopsCost: number;
}

export interface Mempool {
  readonly size: number;
  /** Serialised bytes of all transactions. */
  readonly bytes: number;
  get(txid: string): MempoolEntry | undefined;
  /** Parents before their children. */
  entries(): Iterable<MempoolEntry>;
  /** Txid of the transaction that spends this outpoint. */
  spenderOf(key: string): string | undefined;
  /** An output of a mempool transaction, spent there or not, as if it were in the next block. */
  coin(key: string, height: number): Coin | undefined;
  /** All that this transaction builds on in the mempool, itself not included. */
  ancestors(entry: ParsedTransaction): Set<string>;
  /** These and all that builds on them, parents before children. */
  withDescendants(txids: Iterable<string>): MempoolEntry[];
  add(entry: MempoolEntry): void;
  remove(txid: string): void;
  clear(): void;
}

/** Unconfirmed transactions by txid, in the order of their arrival. Knows no rules: `mempool-policy.ts` does. */
export function createMempool(): Mempool {
  const entries = new Map<string, MempoolEntry>();
  const spenders = new Map<string, string>();
  let bytes = 0;

  const parentsOf = ({ inputs }: ParsedTransaction): string[] =>
    inputs.map((key) => key.slice(0, 64)).filter((txid) => entries.has(txid));

  const childrenOf = (entry: MempoolEntry): string[] =>
    entry.tx.outs.flatMap((_, vout) => spenders.get(`${entry.txid}:${vout}`) ?? []);

  function withDescendants(txids: Iterable<string>): MempoolEntry[] {
    const found = new Set<string>(txids);
    // A set's iteration sees what is added while it runs.
    for (const txid of found) {
      const entry = entries.get(txid);
      if (entry) for (const child of childrenOf(entry)) found.add(child);
    }
    return found.size === 0 ? [] : [...entries.values()].filter(({ txid }) => found.has(txid));
  }

  return {
    get size() {
      return entries.size;
    },
    get bytes() {
      return bytes;
    },
    get: (txid) => entries.get(txid),
    entries: () => entries.values(),
    spenderOf: (key) => spenders.get(key),
    coin(key, height) {
      const entry = entries.get(key.slice(0, 64));
      return entry && coinsOf(entry.txid, entry.tx.outs, height, false).find(([own]) => own === key)?.[1];
    },
    ancestors(entry) {
      const found = new Set(parentsOf(entry));
      for (const txid of found) {
        const parent = entries.get(txid);
        if (parent) for (const next of parentsOf(parent)) found.add(next);
      }
      return found;
    },
    withDescendants,
    add(entry) {
      invariant(!entries.has(entry.txid), 'a transaction is in the mempool once');
      entries.set(entry.txid, entry);
      bytes += entry.raw.length;
      for (const key of entry.inputs) {
        invariant(!spenders.has(key), 'no two transactions of the mempool spend the same output');
        spenders.set(key, entry.txid);
      }
    },
    remove(txid) {
      const entry = entries.get(txid);
      if (!entry) return;
      entries.delete(txid);
      bytes -= entry.raw.length;
      for (const key of entry.inputs) spenders.delete(key);
    },
    clear() {
      entries.clear();
      spenders.clear();
      bytes = 0;
    },
  };
}
